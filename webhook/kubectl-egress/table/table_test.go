package table

import "testing"

func TestTableAlignsCells(t *testing.T) {
	table := Table{Header: []string{"NAME", "READY", "NOTE"}}
	table.Add(Text("client-a"), Cell{"True", Green}, Text(""))
	table.Add(Text("bücher"), Cell{"False", Red}, Text("x"))
	want := "NAME       READY   NOTE\nclient-a   True\nbücher     False   x\n"
	if got := table.String(false); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	coloured := "NAME       READY   NOTE\nclient-a   \x1b[32mTrue\x1b[0m\nbücher     \x1b[31mFalse\x1b[0m   x\n"
	if got := table.String(true); got != coloured {
		t.Errorf("got\n%q want\n%q", got, coloured)
	}
}

// What users of the cluster have written does not control a terminal. The colours of the
// program remain, also between escapes.
func TestEscape(t *testing.T) {
	for text, want := range map[string]string{
		"bücher\n\x1b[32mTrue\x1b[0m\n":          "bücher\n\x1b[32mTrue\x1b[0m\n",
		"\x1b[31ma\x1b[2J\x1b[0m \x1b]0;x\a\r\t": "\x1b[31ma\\x1b[2J\x1b[0m \\x1b]0;x\\a\\r\\t",
		"\u009b2J\u202e":                         "\\u009b2J\\u202e",
	} {
		if got := Escape(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
