/* page - see page.h. */
#include "sinkd-dashboard/page.h"

#include "libbase/base.h"

/*
 * The assembler includes each file as it is, by its path from the root of the
 * source, where make runs.  The Makefile lists the files as prerequisites.
 */
#define EMBED(symbol, file)                                                    \
	__asm__(".pushsection .rodata\n"                                       \
	        ".global " #symbol "\n"                                        \
	        ".global " #symbol "_end\n" #symbol ":\n"                      \
	        ".incbin \"sinkd-dashboard/page/" file "\"\n" #symbol          \
	        "_end:\n"                                                      \
	        ".byte 0\n"                                                    \
	        ".popsection\n");                                              \
	extern const char(symbol)[], (symbol##_end)[]

EMBED(page_index_html, "index.html");
EMBED(page_app_css, "app.css");
EMBED(page_app_js, "app.js");
EMBED(page_icon_svg, "icon.svg");

const struct page_file *
page_find(struct slice path)
{
	static struct page_file files[] = {
	    {"/", "text/html; charset=utf-8", page_index_html, 0},
	    {"/app.css", "text/css; charset=utf-8", page_app_css, 0},
	    {"/app.js", "text/javascript; charset=utf-8", page_app_js, 0},
	    {"/icon.svg", "image/svg+xml", page_icon_svg, 0},
	};
	static const char *const ends[] = {page_index_html_end,
	                                   page_app_css_end, page_app_js_end,
	                                   page_icon_svg_end};

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		if (!slice_is(path, files[i].path))
			continue;
		files[i].bytes =
		    (size_t)(ends[i] - (const char *)files[i].data);
		return &files[i];
	}
	return NULL;
}
