// go_echo is Go's net/http server, with the options that it has by default,
// answering each request with what it saw of it (servers.py has the format).
//
// net/http keeps headers in a map under their canonical names, Host and
// Transfer-Encoding apart; so the fields come sorted by name here.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sort"
	"strconv"
	"strings"
	"syscall"
)

// quote writes bytes as a JSON string in printable ASCII.
func quote(b *strings.Builder, s string) {
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			fmt.Fprintf(b, `\u%04x`, c)
		} else {
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
}

func describe(r *http.Request, body []byte) string {
	fields := [][2]string{}
	if r.Host != "" {
		fields = append(fields, [2]string{"Host", r.Host})
	}
	if len(r.TransferEncoding) > 0 {
		fields = append(fields, [2]string{"Transfer-Encoding",
			strings.Join(r.TransferEncoding, ", ")})
	}
	names := make([]string, 0, len(r.Header))
	for name := range r.Header {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		for _, value := range r.Header[name] {
			fields = append(fields, [2]string{name, value})
		}
	}
	var b strings.Builder
	b.WriteString(`{"method":`)
	quote(&b, r.Method)
	b.WriteString(`,"target":`)
	quote(&b, r.RequestURI)
	b.WriteString(`,"minor":` + strconv.Itoa(r.ProtoMinor))
	b.WriteString(`,"fields":[`)
	for i, field := range fields {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('[')
		quote(&b, field[0])
		b.WriteByte(',')
		quote(&b, field[1])
		b.WriteByte(']')
	}
	b.WriteString(`],"body":`)
	quote(&b, string(body))
	b.WriteByte('}')
	return b.String()
}

func handle(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.Header().Set("Connection", "close")
		w.Header().Set("X-Why", "the body")
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	seen := describe(r, body)
	if r.Method == http.MethodHead {
		w.Header().Set("X-Seen", seen)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(seen)))
	io.WriteString(w, seen)
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		<-stop
		os.Exit(0)
	}()
	fmt.Fprintf(os.Stderr, "ready port=%d\n",
		listener.Addr().(*net.TCPAddr).Port)
	server := &http.Server{
		Handler:  http.HandlerFunc(handle),
		ErrorLog: log.New(io.Discard, "", 0),
	}
	log.Fatal(server.Serve(listener))
}
