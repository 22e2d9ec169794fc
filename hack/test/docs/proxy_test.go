package docs_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"egress.scw/cloudinit/squid"
)

// The example of a line of the audit log is valid, and every field is
// explained.
func TestAuditLog(t *testing.T) {
	operations := page{"docs/operations.md", read(t, "docs/operations.md")}
	var fields []string
	for field := range reflect.TypeFor[squid.AuditRecord]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		fields = append(fields, name)
	}
	explained := operations.column(t, "Field")
	for _, field := range fields {
		if !slices.Contains(explained, field) {
			t.Errorf("%s does not explain the field %s of the audit log", operations.path, field)
		}
	}
	shown := 0
	blocks, _ := operations.blocks(t)
	for _, b := range blocks {
		if !strings.HasPrefix(b.text, `{"time":`) {
			continue
		}
		shown++
		var record squid.AuditRecord
		decoder := json.NewDecoder(strings.NewReader(b.text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&record); err != nil {
			t.Errorf("%s:%d: no line of the audit log: %v", operations.path, b.line, err)
		}
		if again, err := json.Marshal(record); err != nil || !bytes.Equal(again, []byte(strings.TrimSuffix(b.text, "\n"))) {
			t.Errorf("%s:%d: a line of the audit log would be\n%s, %v", operations.path, b.line, again, err)
		}
	}
	if shown == 0 {
		t.Errorf("%s shows no line of the audit log", operations.path)
	}
}

// The rules of the audit log in the documentation exist, and each rule is
// explained.
func TestRules(t *testing.T) {
	operations := page{"docs/operations.md", read(t, "docs/operations.md")}
	rules := map[string]bool{}
	for _, file := range goFiles(t, "webhook/api/policy") {
		for rule := range constants(file, "Rule") {
			rules[rule] = true
		}
	}
	explained := operations.column(t, "Rule")
	for rule := range rules {
		if !slices.Contains(explained, rule) {
			t.Errorf("%s does not explain the rule %s", operations.path, rule)
		}
	}
	for _, rule := range explained {
		if !rules[rule] && rule != "-" {
			t.Errorf("%s: there is no rule %s", operations.path, rule)
		}
	}
}

// The documented journal messages about a refused configuration are those of
// the script.
func TestJournal(t *testing.T) {
	operations := page{"docs/operations.md", read(t, "docs/operations.md")}
	script := read(t, "cloudinit/rootfs/usr/local/sbin/egress-sync")
	explained := operations.column(t, "The journal says")
	if len(explained) == 0 {
		t.Errorf("%s explains no journal message", operations.path)
	}
	for _, message := range explained {
		if !slices.ContainsFunc(strings.Split(script, "\n"), func(line string) bool { return matches(line, message) }) {
			t.Errorf("%s: egress-sync does not have the message %q", operations.path, message)
		}
	}
}

// matches reports whether a line of a script contains a message's parts in
// their order.
func matches(line, message string) bool {
	for part := range strings.SplitSeq(message, varies) {
		_, rest, found := strings.Cut(line, part)
		if !found {
			return false
		}
		line = rest
	}
	return true
}
