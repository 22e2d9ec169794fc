package matrix

import (
	"slices"
	"strings"
	"testing"
)

const example = "name: curl\nlanguage: C\npackage: debian:curl\nversion: \"7.88.1\"\nrun: [curl, \"{url}\"]\n"

func TestClients(t *testing.T) {
	clients, err := Clients()
	if err != nil {
		t.Fatal(err)
	}
	const least = 40
	if len(clients) < least {
		t.Errorf("%d clients, of at least %d", len(clients), least)
	}
	names := map[string]string{}
	for _, client := range clients {
		key := client.Language + " " + client.Name
		if other := names[key]; other != "" {
			t.Errorf("%s and %s are both called %s", client.ID, other, key)
		}
		names[key] = client.ID
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ text, want string }{
		"no name":            {strings.Replace(example, "name: curl\n", "", 1), "name is missing"},
		"unknown field":      {example + "expect: {}\n", "unknown field"},
		"unknown protocol":   {example + "protocol: ftp\n", `protocol: "ftp" is not http, ws or grpc`},
		"unknown target":     {example + "deviations: {variables: {moon: proxied}}\n", `there is no target "moon"`},
		"unknown outcome":    {example + "deviations: {variables: {svc: lost}}\n", `there is no outcome "lost"`},
		"no deviation":       {example + "deviations: {variables: {svc: direct}}\n", "svc: direct is the ideal outcome"},
		"runtimes of no row": {example + "deviations: {runtimes: {svc: proxied}}\n", "the row has no runtimes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := parse("curl", []byte(test.text)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
		})
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	client := Client{Protocol: WebSocket, Run: []string{"{host}", "--url={url}chat"}}
	for name, want := range map[string][]string{
		PublicHTTPS: {"www.example.test", "--url=wss://www.example.test/chat"}, "any": {"0.0.0.0", "--url=ws://0.0.0.0/chat"},
	} {
		if got := client.Command(target(t, name), "/"); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// The path is a part of the URL alone.
func TestCommandWithPath(t *testing.T) {
	t.Parallel()
	client := Client{Protocol: HTTP, Run: []string{"{url}", "{host}"}}
	if got := client.Command(Target{Host: "backend"}, "/svc/"); !slices.Equal(got, []string{"http://backend/svc/", "backend"}) {
		t.Errorf("%q", got)
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	if clients, err := Select("wget", "curl"); err != nil || len(clients) != 2 || clients[0].ID != "curl" {
		t.Errorf("%v, %v", clients, err)
	}
	if _, err := Select("curl", "netscape"); err == nil || !strings.Contains(err.Error(), `"netscape"`) {
		t.Errorf("a row that does not exist: %v", err)
	}
}

// Deviations are read from a row as they were written into it.
func TestDeviationsAreWritten(t *testing.T) {
	t.Parallel()
	var seen Deviations
	seen.Set(false, target(t, "svc"), Proxied)
	seen.Set(false, target(t, "pod-ip"), Direct) // ideal
	seen.Set(true, target(t, PublicHTTP), Tunnelled)
	client, err := parse("x", []byte(example+"runtimes: [Node]\n"+seen.YAML()))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		target   string
		runtimes bool
		outcome  Outcome
	}{{"svc", false, Proxied}, {"svc", true, Direct}, {"pod-ip", false, Direct}, {PublicHTTP, false, Proxied}, {PublicHTTP, true, Tunnelled}} {
		if got := client.Expected(target(t, want.target), want.runtimes); got != want.outcome {
			t.Errorf("%s, runtimes %t: %s, want %s", want.target, want.runtimes, got, want.outcome)
		}
	}
	if empty := (&Deviations{}).YAML(); empty != "" {
		t.Errorf("no deviations are written as %q", empty)
	}
}

func TestReach(t *testing.T) {
	t.Parallel()
	direct := map[string]Outcome{PublicHTTPS: Direct, PublicHTTP: Direct}
	for name, test := range map[string]struct {
		client Client
		want   Reach
	}{
		"by the variables":       {Client{}, ByVariables},
		"plain HTTP by a tunnel": {Client{Deviations: Deviations{Variables: map[string]Outcome{PublicHTTP: Tunnelled}}}, ByVariables},
		"https in the clear":     {Client{Deviations: Deviations{Variables: map[string]Outcome{PublicHTTPS: InTheClear}}}, InPart},
		"ignores the variables":  {Client{Deviations: Deviations{Variables: direct}}, ByCapture},
		"by its runtime":         {Client{Runtimes: []string{"Node"}, Deviations: Deviations{Variables: direct}}, ByRuntimes},
		"not by its runtime":     {Client{Runtimes: []string{"Node"}, Deviations: Deviations{Variables: direct, Runtimes: direct}}, ByCapture},
		"in part by its runtime": {Client{Runtimes: []string{"Node"}, Deviations: Deviations{Variables: direct, Runtimes: map[string]Outcome{PublicHTTPS: InTheClear}}}, InPart},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := test.client.Reach(); got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
		})
	}
}
