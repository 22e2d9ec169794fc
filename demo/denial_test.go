package main

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNewDenial(t *testing.T) {
	// The page of the proxy's machine, with its codes filled in.
	page := readFile(t, "../cloudinit/rootfs/etc/squid/errors/ERR_ACCESS_DENIED")
	page = strings.NewReplacer("@Squid{%note{tenant}}", "shop", "@Squid{%note{rule}}", "domain", "%H", "a.test:443", "%t", "now").Replace(page)
	tests := []struct{ name, page, statement, rule string }{
		{"the proxy's page", page, `Tenant shop: the request to a.test:443 is denied by the rule "domain".`, "domain"},
		{"no page", "", "", ""},
		{"plain text", "denied\n", "denied", ""},
		{"another proxy's", "<html><head><title>x</title></head><body><h1>Access</h1>Denied<br>here</body></html>", "Access Denied here", ""},
		{"markup is removed, and references are read as text", "<p>&lt;script&gt;alert(1)&lt;/script&gt; <b>no</b></p>", "<script>alert(1)</script> no", ""},
		{"a script is no text", "<script>alert(1)</script>denied", "denied", ""},
		{"bytes that are not UTF-8", "<p>a\xffb</p>", "a\uFFFDb", ""},
		{"too long", "<p>" + strings.Repeat("€", maxStatement) + "</p>", strings.Repeat("€", (maxStatement-3)/3) + "…", ""},
		{"a rule with other characters is none", `<p>the rule "a b"</p>`, `the rule "a b"`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := &denial{Target: "a.test:443", Status: 403, Statement: test.statement, Rule: test.rule}
			if diff := cmp.Diff(want, newDenial("a.test:443", 403, test.page)); diff != "" {
				t.Errorf("denial (-want +got):\n%s", diff)
			}
		})
	}
}

// TestReadPageEnds: a proxy that never ends its page delays a check by
// statementTimeout.
func TestReadPageEnds(t *testing.T) {
	silent, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	defer silent.Close()
	start := time.Now()
	if got := readPage(silent); got != "" {
		t.Errorf("a page without an end: %q", got)
	}
	if took := time.Since(start); took < statementTimeout || took > time.Minute {
		t.Errorf("given up after %s, want %s", took, statementTimeout)
	}
	if got := readPage(io.LimitReader(zeros{}, maxBody+1)); len(got) != maxBody {
		t.Errorf("%d bytes of a long page, want %d", len(got), maxBody)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
