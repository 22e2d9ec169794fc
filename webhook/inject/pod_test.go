package inject

import "testing"

func TestDisplayName(t *testing.T) {
	for raw, want := range map[string]string{
		`{}`:                                   "",
		`{"metadata":{"name":"web"}}`:          "web",
		`{"metadata":{"generateName":"web-"}}`: "web-*",
		`{"metadata":{"name":"web-1","generateName":"web-"}}`: "web-1",
	} {
		if got := mustDecode(t, []byte(raw)).DisplayName(); got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
}
