package docs_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The reference has a section for each command of bootstrap and kubectl egress, with the
// help that the program prints.
var (
	commandHelp = regexp.MustCompile("(?m)^## ((?:bootstrap|kubectl egress)(?: [a-z]+)?)\n\n```text\n((?s:.*?))^```$")
	helpOfFlag  = regexp.MustCompile(`(?m)^ +(?:(-\w), )?(--[a-z-]+)`)
)

// flagsOfCommands returns the flags of each command, including the dashes.
func flagsOfCommands(t *testing.T) map[string][]string {
	t.Helper()
	flags := map[string][]string{}
	for _, section := range commandHelp.FindAllStringSubmatch(read(t, "docs/reference/flags.md"), -1) {
		for _, flag := range helpOfFlag.FindAllStringSubmatch(section[2], -1) {
			flags[section[1]] = append(flags[section[1]], flag[1], flag[2])
		}
	}
	return flags
}

// invocation is a command with its program and its arguments, without the variables before it.
var invocation = regexp.MustCompile(`^(?:[A-Z_]+=\S* +)*(?:\S*/)?(bootstrap|kubectl egress)((?: +\S+)*)$`)

// invocations returns the commands of bootstrap and kubectl egress in code, each with its
// program first.
func invocations(code string) [][]string {
	var found [][]string
	for line := range strings.Lines(strings.ReplaceAll(code, "\\\n", " ")) {
		line, _, _ = strings.Cut(line, " #") // a comment
		for _, command := range regexp.MustCompile(`&&|\|\|?|;|\$\(|[<>)]`).Split(line, -1) {
			if match := invocation.FindStringSubmatch(strings.TrimSpace(command)); match != nil {
				found = append(found, append([]string{match[1]}, strings.Fields(match[2])...))
			}
		}
	}
	return found
}

// fault returns why the programs refuse a command, "" if they do not.
func fault(command []string, flags map[string][]string) string {
	name, args := command[0], command[1:]
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		if args[0] == "completion" || args[0] == "help" { // cobra's
			return ""
		}
		name, args = name+" "+args[0], args[1:]
	}
	known, exists := flags[name]
	if !exists {
		return "there is no command " + name
	}
	for _, arg := range args {
		if flag, _, _ := strings.Cut(arg, "="); strings.HasPrefix(flag, "-") && flag != "-" && !slices.Contains(known, flag) {
			return name + " has no flag " + flag
		}
	}
	return ""
}

// The search finds commands within lines, and their faults.
func TestFaultsOfCommands(t *testing.T) {
	flags := map[string][]string{"bootstrap": {"-h", "--help"}, "bootstrap plan": {"--config", "-o", "--output"}, "kubectl egress verify": {"--url"}}
	for code, want := range map[string][]string{
		"bootstrap": {""}, "bin/bootstrap plan --config=egress.yaml -o json # comment --none": {""},
		"SCW_PROFILE=admin bootstrap plan \\\n  --none x": {"bootstrap plan has no flag --none"},
		"bootstrap --none": {"bootstrap has no flag --none"}, "bootstrap applyy": {"there is no command bootstrap applyy"},
		"set -a; . ./.env && kubectl egress verify --url x | kubectl egress none - > $(bootstrap -x)": {
			"", "there is no command kubectl egress none", "bootstrap has no flag -x",
		},
		"kubectl egress help": {""}, "ls bootstrap": nil, "bootstrap/config": nil, "kubectl get egress": nil,
	} {
		var got []string
		for _, command := range invocations(code) {
			got = append(got, fault(command, flags))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", code, got, want)
		}
	}
}

// Every command of bootstrap and kubectl egress on the pages exists, and has the flags
// that it is given.
func TestCommands(t *testing.T) {
	flags := flagsOfCommands(t)
	found := map[string]int{}
	for _, p := range documentation(t) {
		for _, code := range append(p.spans(t), p.commands(t)) {
			for _, command := range invocations(code) {
				found[command[0]]++
				if problem := fault(command, flags); problem != "" {
					t.Errorf("%s: %s: %s", p.path, strings.Join(command, " "), problem)
				}
			}
		}
	}
	if found["bootstrap"] < 20 || found["kubectl egress"] < 20 {
		t.Errorf("commands found: %v: the test searches in the wrong way", found)
	}
}
