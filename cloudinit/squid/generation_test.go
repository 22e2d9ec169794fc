package squid

import (
	"os"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

func TestGenerations(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		conf string
		want map[string]string
	}{
		"nothing":            {"", map[string]string{}},
		"of Debian's":        {"acl localnet src 10.0.0.0/8\nhttp_access deny all\nhttp_port 3128\n", map[string]string{}},
		"before generations": {"acl l_3129 myportname client-a\nhttp_access allow l_3129\n", map[string]string{}},
		"two tenants": {
			"acl l_3129 myportname client-a\nacl l_3130 myportname client-b\nreply_header_add X-Egress-Generation 01 l_3129\nreply_header_add X-Egress-Generation 02 l_3130\n",
			map[string]string{"client-a": "01", "client-b": "02"},
		},
		"in another order, no line break at the end": {
			"reply_header_add\tX-Egress-Generation  01 l_3129\r\nacl l_3129 myportname client-a", map[string]string{"client-a": "01"},
		},
		"a generation of nobody": {"reply_header_add X-Egress-Generation 01 l_3129\n", map[string]string{}},
		"another header":         {"acl l_3129 myportname client-a\nreply_header_add X-Other 01 l_3129\n", map[string]string{}},
		"in a comment":           {"#acl l_3129 myportname client-a\nreply_header_add X-Egress-Generation 01 l_3129\n", map[string]string{}},
		"the manager's port":     {"acl manager_port myportname manager_port\nreply_header_add X-Egress-Generation 01 manager_port\n", map[string]string{}},
		"without an ACL":         {"acl l_3129 myportname client-a\nreply_header_add X-Egress-Generation 01\n", map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, Generations([]byte(test.conf))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestGenerationsOfGoldens: every tenant of a rendered file is found.
func TestGenerationsOfGoldens(t *testing.T) {
	t.Parallel()
	for _, file := range casesIn(t, "testdata") {
		want := map[string]string{}
		for _, tenant := range readCase(t, file).Tenants {
			want[tenant.Name] = tenant.Generation()
		}
		golden, err := os.ReadFile(goldenOf(file))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, Generations(golden)); diff != "" {
			t.Errorf("%s, -want +got:\n%s", file, diff)
		}
	}
}

// FuzzGenerations: whatever the file is, all that is found are words of it.
func FuzzGenerations(f *testing.F) {
	golden, err := os.ReadFile("testdata/dedicated-addresses.golden.conf")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	for _, text := range []string{"", "\n", "acl", "acl l_ myportname \x00", "reply_header_add X-Egress-Generation\xa0a l_\nacl l_ myportname b\n", "acl l_1 myportname a\nacl l_1 myportname b\nreply_header_add X-Egress-Generation 01 l_1"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, conf []byte) {
		for tenant, generation := range Generations(conf) {
			for _, word := range []string{tenant, generation} {
				if word == "" || strings.ContainsFunc(word, unicode.IsSpace) || !strings.Contains(string(conf), word) {
					t.Errorf("%q is no word of the file", word)
				}
			}
		}
	})
}
