package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"egress.scw/webhook/settings"
)

func TestFlags(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		want options
	}{
		"none":     {nil, options{settingsFile: "/etc/egress-webhook/settings/settings.yaml"}},
		"settings": {[]string{"--settings", "settings.yaml"}, options{settingsFile: "settings.yaml"}},
		"version":  {[]string{"--settings=a", "--version"}, options{settingsFile: "a", showVersion: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseFlags(test.args)
			if err != nil || *got != test.want {
				t.Errorf("options are %+v (%v), want %+v", got, err, test.want)
			}
		})
	}
}

func TestUnusableCommandLines(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"unknown flag":  {[]string{"--proxy-address=172.16.28.8"}, "unknown flag: --proxy-address (see webhook --help)"},
		"no value":      {[]string{"--settings"}, "flag needs an argument: --settings"},
		"argument":      {[]string{"run"}, `unknown argument "run"`},
		"not a boolean": {[]string{"--version=perhaps"}, `invalid argument "perhaps" for "--version"`},
		"shorthand":     {[]string{"-p"}, "unknown shorthand flag"},
		"one dash only": {[]string{"-settings=settings.yaml"}, "unknown shorthand flag"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parseFlags(test.args)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
		})
	}
}

// TestHelp: the help explains every flag, and its example is valid.
func TestHelp(t *testing.T) {
	t.Parallel()
	if _, err := parseFlags([]string{"--help"}); !errors.Is(err, pflag.ErrHelp) {
		t.Errorf("--help returns %v", err)
	}
	text := help()
	newFlagSet(&options{}).VisitAll(func(flag *pflag.Flag) {
		if flag.Usage == "" || !strings.Contains(text, "--"+flag.Name) {
			t.Errorf("--%s is not explained", flag.Name)
		}
	})
	_, example, found := strings.Cut(text, "have defaults:\n")
	example, _, _ = strings.Cut(strings.TrimPrefix(example, "\n"), "\n\n")
	if !found {
		t.Fatalf("no example in:\n%s", text)
	}
	if _, err := settings.Parse([]byte(strings.ReplaceAll("\n"+example, "\n  ", "\n"))); err != nil {
		t.Errorf("the example: %v in:\n%s", err, example)
	}
}
