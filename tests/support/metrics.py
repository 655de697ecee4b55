"""A page of /metrics, read as Prometheus reads it."""
import re

LINE = re.compile(r'^([a-z_]+)(?:\{([^}]*)\})? (\S+)$')
LABEL = re.compile(r'([a-z_]+)="([^"]*)"(?:,|$)')


class Page:
    """
    page["leat_sink_lag_events", "sink=postgres"]: the value, None if there is
    no such series.  A series that comes twice, or in another place than the
    others of its name, is a fault of the page.
    """

    def __init__(self, leat=None, headers=None, text=None):
        if leat:
            status, text, _ = leat.request("GET", "/metrics", None, headers)
            assert status == 200, (status, text)
        self.text, self.values, self.types = text, {}, {}
        name, seen = None, set()
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split()
                assert name not in self.types, f"{name} twice"
                self.types[name] = kind
            if line.startswith("#"):
                continue
            series, labels, value = LINE.match(line).groups()
            assert series == name or self.types[name] == "histogram" and \
                series in (name + "_bucket", name + "_sum", name + "_count"), \
                f"{series} is not under its own TYPE"
            key = (series, *sorted(f"{k}={v}" for k, v in
                                   LABEL.findall(labels or "")))
            assert key not in seen, f"{key} twice"
            seen.add(key)
            self.values[key] = float(value)

    def __getitem__(self, key):
        key = (key,) if isinstance(key, str) else key
        return self.values.get((key[0], *sorted(key[1:])))

    def series(self, name):
        """{labels: value} of all series of that name."""
        return {k[1:]: v for k, v in self.values.items() if k[0] == name}
