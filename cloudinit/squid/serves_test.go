package squid

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRevisions(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		conf string
		want map[string]string
	}{
		"empty file":           {"", map[string]string{}},
		"file of Debian":       {"acl localnet src 10.0.0.0/8\nhttp_access deny all\nhttp_port 3128\n", map[string]string{}},
		"two tenants":          {"# serves 3129 01 client-a\nhttp_port 3129\n# serves 3130 02 client-b\n", map[string]string{"client-a": "01", "client-b": "02"}},
		"no newline at end":    {"# serves 3129 01 client-a", map[string]string{"client-a": "01"}},
		"no tenant":            {"# serves 3129 01\n", map[string]string{}},
		"empty tenant":         {"# serves 3129 01 \n", map[string]string{}},
		"empty revision":       {"# serves 3129  client-a\n", map[string]string{}},
		"another word":         {"# serves 3129 01 client-a twice\n", map[string]string{}},
		"not at the beginning": {" # serves 3129 01 client-a\n", map[string]string{}},
		"another comment":      {"# serve 3129 01 client-a\n", map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, Revisions([]byte(test.conf))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestPorts(t *testing.T) {
	t.Parallel()
	conf := "# serves 3129 01 client-a\nhttp_port 3129\n# serves 3130 02 client-b\n# serves 3131 03\n"
	if diff := cmp.Diff(map[string]string{"3129": "client-a", "3130": "client-b"}, Ports([]byte(conf))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestHasAuthority(t *testing.T) {
	t.Parallel()
	for conf, want := range map[string]bool{
		"": false, "# authority AAAA\n": true, "http_port 3129\n# authority AAAA\n": true, "http_port 3129 # authority AAAA\n": false,
	} {
		if got := HasAuthority([]byte(conf)); got != want {
			t.Errorf("%q: %t", conf, got)
		}
	}
}

// TestRevisionsOfGoldens: the revisions of all tenants are found in a rendered
// file.
func TestRevisionsOfGoldens(t *testing.T) {
	t.Parallel()
	for _, file := range casesIn(t) {
		want := map[string]string{}
		for _, tenant := range readCase(t, file).Tenants {
			want[tenant.Name] = tenant.Revision()
		}
		rendered, err := os.ReadFile(goldenOf(file))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, Revisions(rendered)); diff != "" {
			t.Errorf("%s, -want +got:\n%s", file, diff)
		}
	}
}

// FuzzRevisions: for any file, names and revisions are words of the file.
func FuzzRevisions(f *testing.F) {
	rendered, err := os.ReadFile("testdata/dedicated-addresses.golden.conf")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(rendered)
	for _, text := range []string{
		"", "\n", "# serves", "# serves ", "# serves 1 \x00 a", "# serves 1 \xa0 \xa0a\n", "# serves 1 01 a\n# serves 1 02 a",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, conf []byte) {
		for tenant, revision := range Revisions(conf) {
			for _, word := range []string{tenant, revision} {
				if word == "" || strings.ContainsAny(word, " \n") || !strings.Contains(string(conf), word) {
					t.Errorf("%q is not a word of the file", word)
				}
			}
		}
	})
}
