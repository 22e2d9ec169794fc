package netpol

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fakeIptables has the rules in the file $RULES, and fails as iptables does.
const fakeIptables = `#!/bin/sh
shift 3 # -w -t mangle
command=$1; shift
case $command in
-S) grep -qxF -e "chain $*" "$RULES" ;;
-N) ! grep -qxF -e "chain $*" "$RULES" && echo "chain $*" >>"$RULES" ;;
-C) grep -qxF -e "$*" "$RULES" ;;
-A) echo "$*" >>"$RULES" ;;
*) exit 2 ;;
esac
`

// An enforcer that is started again finds the rules of the one before it.
func TestRulesOfAnEnforcerBefore(t *testing.T) {
	dir := t.TempDir()
	rules := filepath.Join(dir, "rules")
	for name, content := range map[string]string{"iptables-nft": fakeIptables, "rules": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("RULES", rules)
	e := Enforcer{PodCIDR: netip.MustParsePrefix("10.244.0.0/16")}
	for range 2 {
		if err := e.queuePackets(t.Context()); err != nil {
			t.Error(err)
		}
		content, err := os.ReadFile(rules)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Split(strings.TrimSpace(string(content)), "\n")
		if unique := slices.Compact(slices.Sorted(slices.Values(got))); len(got) != 5 || len(unique) != 5 || got[0] != "chain EGRESS-NETPOL" {
			t.Errorf("the rules are %q; want the chain and four rules, each once", got)
		}
	}
}
