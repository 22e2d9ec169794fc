// Package matrix is the table of the clients that are known: for each its version,
// its program, and the outcome of its requests under the injected variables. It
// is pure. The rows are in the folder rows, a file for each client; make clients
// compares them with real clients.
package matrix

import (
	"embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Client is a row: a client, and the outcomes of its requests that differ from
// the ideal ones of Targets.
type Client struct {
	// ID is the name of the row's file, without its extension.
	ID string `json:"-"`
	// Name is the client's name in the documentation.
	Name string `json:"name"`
	// Language groups the rows of the documentation.
	Language string `json:"language"`
	// Package is the Debian package, npm package or Go module that contains the
	// client, such as "debian:curl".
	Package string `json:"package"`
	// Version is the version of the package: for Debian the version of the
	// upstream project, with which the package's version begins, because Debian
	// replaces its own revisions by security updates; for others the exact version.
	Version string `json:"version"`
	// Needs are further Debian packages, which the client does not depend on.
	Needs []string `json:"needs,omitempty"`
	// Run is the command, in which {host} stands for the target's host, and {url} for
	// its URL, with a slash at its end. The commands' own programs are in Programs.
	Run []string `json:"run"`
	// Protocol is that of the client's URLs. Default: http.
	Protocol Protocol `json:"protocol,omitempty"`
	// Runtimes are the values of spec.runtimes that help the client. Without them,
	// no runtime changes its outcomes.
	Runtimes []string `json:"runtimes,omitempty"`
	// Note explains the deviations to the reader of the documentation.
	Note string `json:"note,omitempty"`

	// Deviations are the outcomes that differ from the ideal one, by the names of
	// targets.
	Deviations Deviations `json:"deviations,omitzero"`
}

// Programs is the folder of programs that make one request by a library, in the root
// filesystem of the clients.
const Programs = "/opt/clients"

// Protocol is the scheme of a client's URLs.
type Protocol string

// The protocols. URLs of WebSockets have the schemes ws and wss. gRPC has no URLs:
// its programs read host and port from one.
const (
	HTTP      Protocol = "http"
	WebSocket Protocol = "ws"
	GRPC      Protocol = "grpc"
)

// Command returns the command for a target. path is that of the URL, with a slash at
// its start and its end.
func (c *Client) Command(target Target, path string) []string {
	scheme := "http"
	if c.Protocol == WebSocket {
		scheme = "ws"
	}
	if target.TLS {
		scheme += "s"
	}
	command := make([]string, len(c.Run))
	for i, word := range c.Run {
		command[i] = strings.NewReplacer("{url}", scheme+"://"+target.Host+path, "{host}", target.Host).Replace(word)
	}
	return command
}

// Deviations are outcomes by the names of targets.
type Deviations struct {
	// Variables are those under the injected variables alone.
	Variables map[string]Outcome `json:"variables,omitempty"`
	// Runtimes are those under the variables of the row's runtimes too.
	Runtimes map[string]Outcome `json:"runtimes,omitempty"`
}

// Set records an outcome if it is not the target's ideal one.
func (d *Deviations) Set(runtimes bool, target Target, outcome Outcome) {
	if outcome == target.Ideal {
		return
	}
	into := &d.Variables
	if runtimes {
		into = &d.Runtimes
	}
	if *into == nil {
		*into = map[string]Outcome{}
	}
	(*into)[target.Name] = outcome
}

// YAML returns the deviations as the end of a row's file, in the order of the
// targets. It is empty if there are none.
func (d *Deviations) YAML() string {
	var text strings.Builder
	for _, part := range []struct {
		name     string
		outcomes map[string]Outcome
	}{{"variables", d.Variables}, {"runtimes", d.Runtimes}} {
		if len(part.outcomes) == 0 {
			continue
		}
		if text.Len() == 0 {
			text.WriteString("deviations:\n")
		}
		fmt.Fprintf(&text, "  %s:\n", part.name)
		for _, target := range Targets() {
			if outcome := part.outcomes[target.Name]; outcome != "" {
				fmt.Fprintf(&text, "    %s: %s\n", target.Name, outcome)
			}
		}
	}
	return text.String()
}

// Expected returns the outcome of a request for the target, under the variables
// of the row's runtimes too or without them.
func (c *Client) Expected(target Target, runtimes bool) Outcome {
	deviations := c.Deviations.Variables
	if runtimes {
		deviations = c.Deviations.Runtimes
	}
	if outcome, deviates := deviations[target.Name]; deviates {
		return outcome
	}
	return target.Ideal
}

// Reach is the degree to which a client uses the proxy for public targets.
type Reach int

const (
	// ByVariables is a client that uses the proxy by the injected variables alone.
	ByVariables Reach = iota
	// ByRuntimes is a client that uses it with spec.runtimes.
	ByRuntimes
	// InPart is a client that uses it for http or for https alone.
	InPart
	// ByCapture is a client that ignores the environment: the proxy gets its
	// requests only if its own settings name the proxy, or its connections are
	// captured.
	ByCapture
)

// Reach returns the degree to which the client uses the proxy.
func (c *Client) Reach() Reach {
	variables := c.publicReached(false)
	switch {
	case variables == len(publicTargets):
		return ByVariables
	case len(c.Runtimes) > 0 && c.publicReached(true) == len(publicTargets):
		return ByRuntimes
	case variables > 0 || len(c.Runtimes) > 0 && c.publicReached(true) > 0:
		return InPart
	default:
		return ByCapture
	}
}

var publicTargets = []string{PublicHTTPS, PublicHTTP}

func (c *Client) publicReached(runtimes bool) (reached int) {
	for _, target := range Targets() {
		if slices.Contains(publicTargets, target.Name) && c.Expected(target, runtimes).reachesProxy() {
			reached++
		}
	}
	return reached
}

//go:embed rows/*.yaml
var rows embed.FS

// Select returns the rows with these IDs. It is an error if one does not exist.
func Select(ids ...string) ([]Client, error) {
	all, err := Clients()
	if err != nil {
		return nil, err
	}
	selected := slices.DeleteFunc(all, func(c Client) bool { return !slices.Contains(ids, c.ID) })
	if len(selected) != len(ids) {
		return nil, fmt.Errorf("of the rows %q, only %d exist", ids, len(selected))
	}
	return selected, nil
}

// Clients returns all rows, by language and name. The error lists every fault of
// every row.
func Clients() ([]Client, error) {
	files, err := rows.ReadDir("rows")
	if err != nil {
		return nil, err
	}
	var clients []Client
	var errs []error
	for _, file := range files {
		text, err := rows.ReadFile("rows/" + file.Name())
		if err != nil {
			return nil, err
		}
		client, err := parse(strings.TrimSuffix(file.Name(), ".yaml"), text)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", file.Name(), err))
		}
		clients = append(clients, client)
	}
	slices.SortFunc(clients, func(a, b Client) int {
		return strings.Compare(a.Language+"\x00"+strings.ToLower(a.Name), b.Language+"\x00"+strings.ToLower(b.Name))
	})
	return clients, errors.Join(errs...)
}

func parse(id string, text []byte) (Client, error) {
	client := Client{ID: id, Protocol: HTTP}
	if err := yaml.UnmarshalStrict(text, &client); err != nil {
		return client, err
	}
	var errs []error
	for field, empty := range map[string]bool{
		"name": client.Name == "", "language": client.Language == "", "package": client.Package == "",
		"version": client.Version == "", "run": len(client.Run) == 0,
	} {
		if empty {
			errs = append(errs, fmt.Errorf("%s is missing", field))
		}
	}
	if client.Protocol != HTTP && client.Protocol != WebSocket && client.Protocol != GRPC {
		errs = append(errs, fmt.Errorf("protocol: %q is not %s, %s or %s", client.Protocol, HTTP, WebSocket, GRPC))
	}
	if len(client.Runtimes) == 0 && len(client.Deviations.Runtimes) > 0 {
		errs = append(errs, errors.New("deviations.runtimes: the row has no runtimes"))
	}
	for field, deviations := range map[string]map[string]Outcome{"variables": client.Deviations.Variables, "runtimes": client.Deviations.Runtimes} {
		errs = append(errs, validate("deviations."+field, deviations)...)
	}
	return client, errors.Join(errs...)
}

func validate(field string, deviations map[string]Outcome) (errs []error) {
	ideal := map[string]Outcome{}
	for _, target := range Targets() {
		ideal[target.Name] = target.Ideal
	}
	for _, name := range slices.Sorted(maps.Keys(deviations)) {
		outcome := deviations[name]
		switch {
		case ideal[name] == "":
			errs = append(errs, fmt.Errorf("%s: there is no target %q", field, name))
		case Outcomes()[outcome] == "":
			errs = append(errs, fmt.Errorf("%s.%s: there is no outcome %q", field, name, outcome))
		case outcome == ideal[name]:
			errs = append(errs, fmt.Errorf("%s.%s: %s is the ideal outcome: leave it out", field, name, outcome))
		}
	}
	return errs
}
