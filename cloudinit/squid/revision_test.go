package squid

import (
	"os"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

func TestRevisions(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		conf string
		want map[string]string
	}{
		"nothing":          {"", map[string]string{}},
		"of Debian's":      {"acl localnet src 10.0.0.0/8\nhttp_access deny all\nhttp_port 3128\n", map[string]string{}},
		"before revisions": {"acl l_3129 myportname client-a\nacl tag_3129 annotate_transaction tenant=client-a\n", map[string]string{}},
		"two tenants": {
			"acl tag_3129 annotate_transaction tenant=client-a revision=01\nacl tag_3130 annotate_transaction tenant=client-b revision=02\n",
			map[string]string{"client-a": "01", "client-b": "02"},
		},
		"other spaces, no line break at the end": {"acl\ttag_3129 annotate_transaction  tenant=client-a revision=01\r", map[string]string{"client-a": "01"}},
		"nobody's":                               {"acl tag_3129 annotate_transaction tenant= revision=01\n", map[string]string{}},
		"none":                                   {"acl tag_3129 annotate_transaction tenant=client-a revision=\n", map[string]string{}},
		"another note":                           {"acl tag_3129 annotate_transaction tenant=client-a verdict=allowed\n", map[string]string{}},
		"another rule":                           {"acl allowed annotate_transaction tenant=client-a revision=01\n", map[string]string{}},
		"a note on a connection":                 {"acl tag_3129 annotate_client tenant=client-a revision=01\n", map[string]string{}},
		"in a comment":                           {"#acl tag_3129 annotate_transaction tenant=client-a revision=01\n", map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, Revisions([]byte(test.conf))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestRevisionsOfGoldens: every tenant of a rendered file is found.
func TestRevisionsOfGoldens(t *testing.T) {
	t.Parallel()
	for _, file := range casesIn(t, "testdata") {
		want := map[string]string{}
		for _, tenant := range readCase(t, file).Tenants {
			want[tenant.Name] = tenant.Revision()
		}
		golden, err := os.ReadFile(goldenOf(file))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, Revisions(golden)); diff != "" {
			t.Errorf("%s, -want +got:\n%s", file, diff)
		}
	}
}

// FuzzRevisions: whatever the file is, all that is found are words of it.
func FuzzRevisions(f *testing.F) {
	golden, err := os.ReadFile("testdata/dedicated-addresses.golden.conf")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	for _, text := range []string{
		"", "\n", "acl", "acl tag_ annotate_transaction tenant=\x00 revision=a", "acl tag_\xa0 annotate_transaction tenant=b revision=\xa0a\n",
		"acl tag_1 annotate_transaction tenant=a revision=01\nacl tag_1 annotate_transaction tenant=a revision=02",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, conf []byte) {
		for tenant, revision := range Revisions(conf) {
			for _, word := range []string{tenant, revision} {
				if word == "" || strings.ContainsFunc(word, unicode.IsSpace) || !strings.Contains(string(conf), word) {
					t.Errorf("%q is no word of the file", word)
				}
			}
		}
	})
}
