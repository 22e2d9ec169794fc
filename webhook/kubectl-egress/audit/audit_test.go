package audit

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

const line = `{"time":"2026-11-25T09:42:59.621Z","tenant":"client-a","port":"3129","client":"172.16.28.16","method":"CONNECT","host":"api.github.com","hostPort":"443","status":200,"verdict":"allowed","rule":"-","sni":"api.github.com","result":"TCP_TUNNEL/HIER_DIRECT","error":"-","server":"140.82.121.6","egress":"203.0.113.50","bytesReceived":1641,"bytesSent":2645,"durationMillis":8}`

func read(t *testing.T, input io.Reader) (*Reader, []Record) {
	t.Helper()
	reader := NewReader(input)
	var records []Record
	for record := range reader.Records() {
		records = append(records, *record)
	}
	return reader, records
}

func TestLinesAreReadWithAndWithoutAHeader(t *testing.T) {
	reader, records := read(t, strings.NewReader(line+"\n\n"+
		"<134>1 2026-11-25T09:42:59.621Z production-proxy egress-audit - - - "+line+"\r\n"+line))
	if len(records) != 3 || reader.Lines != 3 || reader.Malformed != 0 || reader.Err() != nil {
		t.Fatalf("%d records, %+v", len(records), reader)
	}
	for _, record := range records {
		if record.Tenant != "client-a" || record.Host != "api.github.com" || record.BytesSent != 2645 || record.Start().UnixMilli() != 1795599779621 {
			t.Errorf("got %+v", record)
		}
	}
}

func TestMalformedLinesAreCounted(t *testing.T) {
	long := `{"time":"2026-11-25T09:42:59.621Z","tenant":"` + strings.Repeat("a", 3*MaxLine) + `"}`
	malformed := []string{"text", "{", `{"time":"yesterday","tenant":"a"}`, `{"tenant":"client-a"}`, `{"time":"2026-11-25T09:42:59.621Z"}`, `[1]`, line[:100], line + "}", long, `{"time":1}`}
	reader, records := read(t, strings.NewReader(strings.Join(malformed, "\n")+"\n"+line+"\n"))
	if len(records) != 1 || reader.Malformed != len(malformed) || reader.Lines != len(malformed)+1 {
		t.Errorf("%d records, %d malformed of %d lines, want 1, %d of %d", len(records), reader.Malformed, reader.Lines, len(malformed), len(malformed)+1)
	}
}

// A forged line must not control the terminal of its reader, or break out of the comments of
// a proposal. Whoever reaches the log server can send one.
func TestLinesThatAreNotPrintableAreMalformed(t *testing.T) {
	with := func(host string) string { return strings.Replace(line, "api.github.com", host, 1) }
	hostile := []string{
		with(`a\n  domains: [evil.example.com]`), with(`a\u001b[2Jb`), with(`a\r`), with(`a\tb\u0000`), with(`a\u202eb`), with("a\u009b2J"), with("a\x7f"),
		strings.Replace(line, `"rule":"-"`, `"rule":"\u001b]0;x\u0007"`, 1), strings.TrimSuffix(line, "}") + ",\"further\":\"\u009b2J\"}",
	}
	reader, records := read(t, strings.NewReader(strings.Join(hostile, "\n")+"\n"))
	if len(records) != 0 || reader.Malformed != len(hostile) {
		t.Errorf("%d records, %d of %d lines are malformed: %+v", len(records), reader.Malformed, len(hostile), records)
	}
	harmless := []string{with(`a\/b`), with(`\u0061`), with("münchen.example"), "header\t" + line}
	if reader, records = read(t, strings.NewReader(strings.Join(harmless, "\n"))); len(records) != len(harmless) {
		t.Errorf("%d of %d records, %d malformed", len(records), len(harmless), reader.Malformed)
	}
}

func TestErrorsOfTheInputAreReturned(t *testing.T) {
	broken := errors.New("broken")
	reader, records := read(t, io.MultiReader(strings.NewReader(line+"\n"), iotest.ErrReader(broken)))
	if len(records) != 1 || !errors.Is(reader.Err(), broken) {
		t.Errorf("%d records, %v", len(records), reader.Err())
	}
}

// Memory does not grow with the length of the log.
func TestMemoryIsBounded(t *testing.T) {
	const lines = 100_000
	reader := NewReader(io.LimitReader(&repeated{text: line + "\n"}, lines*int64(len(line)+1)))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	records := 0
	for range reader.Records() {
		records++
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); records != lines || grown > 1<<20 {
		t.Errorf("%d records, the heap grew by %d bytes", records, grown)
	}
	runtime.KeepAlive(reader)
}

// repeated is an endless text.
type repeated struct {
	text string
	at   int
}

func (r *repeated) Read(buffer []byte) (int, error) {
	n := copy(buffer, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	return n, nil
}
