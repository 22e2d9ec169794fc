package noproxy

import "testing"

func TestCoversPublicHosts(t *testing.T) {
	for text, want := range map[string]bool{
		"com":       true,
		"app":       true,
		"prod":      true,
		"co.uk":     true,
		"github.io": true,
		// The list has rules only for names below these.
		"pg":          true,
		"mm":          true,
		"kawasaki.jp": true,
		// By the default rule of the list, any last label is a public suffix.
		"svc":           false,
		"team-a":        false,
		"local":         false,
		"internal":      false,
		"cluster.local": false,
		"example.com":   false,
		"a.github.io":   false,
		"www.ck":        false, // an exception from *.ck
		"192.0.2.1":     false,
		"10.0.0.0/8":    false,
		"0.0.0.0/0":     true,
		"::/0":          true,
		"::ffff:0:0/96": true,
	} {
		entry, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := entry.CoversPublicHosts(); got != want {
			t.Errorf("%s: %t, want %t", text, got, want)
		}
	}
}

func TestMerge(t *testing.T) {
	ours := []string{"localhost", "svc", ".svc", "10.0.0.0/8"}
	for own, want := range map[string]string{
		"":                                "localhost,svc,.svc,10.0.0.0/8",
		" , ":                             "localhost,svc,.svc,10.0.0.0/8",
		"a":                               "a,localhost,svc,.svc,10.0.0.0/8",
		"a,b, ":                           "a,b,localhost,svc,.svc,10.0.0.0/8",
		".svc,a":                          ".svc,a,localhost,svc,10.0.0.0/8",
		"10.0.0.0/8 SVC .Svc":             "10.0.0.0/8 SVC .Svc,localhost",
		"*":                               "*",
		"*,a":                             "*,a,localhost,svc,.svc,10.0.0.0/8",
		"10.0.0.0/8,.svc,svc,LocalHost, ": "10.0.0.0/8,.svc,svc,LocalHost, ",
		"$(OTHER)":                        "$(OTHER),localhost,svc,.svc,10.0.0.0/8",
	} {
		got := Merge(own, ours)
		if got != want {
			t.Errorf("%q: %q, want %q", own, got, want)
		}
		if again := Merge(got, ours); again != got {
			t.Errorf("%q: %q, and %q the second time", own, got, again)
		}
	}
}
