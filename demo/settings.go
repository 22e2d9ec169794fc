package main

import (
	"errors"
	"flag"
	"fmt"
	"net/url"
	"strings"
)

// variablePrefix begins the names of the demo's own environment variables. Each
// flag has one: EGRESS_DEMO_ECHO_URL for --echo-url.
const variablePrefix = "EGRESS_DEMO_"

// The account of the page is in the environment only: arguments of processes can
// be read by other users.
const (
	variableUsername = variablePrefix + "USERNAME"
	variablePassword = variablePrefix + "PASSWORD"
)

// deniedPort is the port of the default for --denied-url. Proxies admit 80 and 443
// unless a tenant lists further ports.
const deniedPort = "8443"

// maxChecksPerMinute is the largest accepted rate, 100 per second.
const maxChecksPerMinute = 6000

// lookup returns an environment variable, like os.LookupEnv.
type lookup func(name string) (value string, set bool)

// settings are the parsed flags and environment variables.
type settings struct {
	listen        string
	metricsListen string // empty: metrics are not served
	targets       targets
	path          egressPath

	// checksPerMinute bounds the checks, and their retries, of all clients
	// together.
	checksPerMinute int

	account account
}

// rawSettings are the values of the flags before they are checked.
type rawSettings struct {
	ipEcho, ipInfo, echo, denied, direct string
	path                                 string
}

// parseSettings reads flags and environment variables. A flag wins over its
// variable. The error contains every invalid setting, each by its flag or variable.
func parseSettings(args []string, env lookup) (settings, error) {
	var (
		s    settings
		raw  rawSettings
		errs []error
	)
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.Usage = func() { usage(flags) }
	flags.StringVar(&s.listen, "listen", ":8080", "`address` to listen on")
	flags.StringVar(&s.metricsListen, "metrics-listen", "", "`address` to serve /metrics on (default: not served)")
	flags.StringVar(&raw.ipEcho, "ip-echo-url", "https://api.ipify.org?format=json", "`URL` that answers with the client's address, as {\"ip\": \"…\"}")
	flags.StringVar(&raw.ipInfo, "ip-info-url", "https://ipinfo.io/json", "`URL` that answers with the client's address and its network, like ipinfo.io")
	flags.StringVar(&raw.echo, "echo-url", "https://httpbin.org", "base `URL` of an httpbin: /json, /headers, /status/418 and /delay/1 are requested")
	flags.StringVar(&raw.denied, "denied-url", "", "`URL` that the proxy must refuse (default: --echo-url on port "+deniedPort+")")
	flags.StringVar(&raw.direct, "direct-url", "", "`URL` that the direct attempt requests (default: --ip-echo-url by plain HTTP)")
	flags.StringVar(&raw.path, "path", string(pathProxy), "the tenant's `path`: Proxy, or Gateway for a tenant that reaches the internet directly")
	flags.IntVar(&s.checksPerMinute, "checks-per-minute", 60, "largest `number` of checks and retries per minute, of all clients together")

	source := map[string]string{}
	flags.VisitAll(func(f *flag.Flag) {
		source[f.Name] = "--" + f.Name
		value, _ := env(variableOf(f.Name))
		if value == "" {
			return
		}
		source[f.Name] = variableOf(f.Name)
		if err := f.Value.Set(value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %q is not a whole number", variableOf(f.Name), value))
		}
	})
	if err := flags.Parse(args); err != nil {
		return settings{}, err
	}
	flags.Visit(func(f *flag.Flag) { source[f.Name] = "--" + f.Name })
	if flags.NArg() > 0 {
		errs = append(errs, fmt.Errorf("unexpected argument %q: the demo takes flags only", flags.Arg(0)))
	}

	errs = append(errs, s.check(raw, source)...)
	var err error
	if s.account, err = newAccount(env); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return settings{}, err
	}
	return s, nil
}

// usage prints the flags, and how they become variables.
func usage(flags *flag.FlagSet) {
	fmt.Fprintf(flags.Output(), "Usage of demo, with the environment variable %s for --echo-url, and so on for each flag:\n", variableOf("echo-url"))
	flags.PrintDefaults()
	fmt.Fprintf(flags.Output(), "With %s and %s, the page asks for them.\n", variableUsername, variablePassword)
}

// variableOf is the environment variable of a flag.
func variableOf(flagName string) string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

// check validates the values. source is the flag or the variable that a value comes
// from, by the name of the flag.
func (s *settings) check(raw rawSettings, source map[string]string) []error {
	var errs []error
	target := func(name, value string) *url.URL {
		u, err := parseTarget(source[name], value)
		if err != nil {
			errs = append(errs, err)
		}
		return u
	}
	s.targets = targets{
		ipEcho: target("ip-echo-url", raw.ipEcho),
		ipInfo: target("ip-info-url", raw.ipInfo),
		echo:   target("echo-url", raw.echo),
	}
	if raw.denied != "" {
		s.targets.denied = target("denied-url", raw.denied)
	} else if s.targets.echo != nil {
		s.targets.denied = onPort(s.targets.echo, deniedPort)
	}
	if raw.direct != "" {
		s.targets.direct = target("direct-url", raw.direct)
	} else if s.targets.ipEcho != nil {
		s.targets.direct = plainHTTP(s.targets.ipEcho)
	}
	s.path = egressPath(raw.path)
	if s.path != pathProxy && s.path != pathGateway {
		errs = append(errs, fmt.Errorf("%s: %q is neither %s nor %s", source["path"], raw.path, pathProxy, pathGateway))
	}
	if s.checksPerMinute < 1 || s.checksPerMinute > maxChecksPerMinute {
		errs = append(errs, fmt.Errorf("%s: %d is not between 1 and %d", source["checks-per-minute"], s.checksPerMinute, maxChecksPerMinute))
	}
	return errs
}

// parseTarget reads the URL in a setting.
func parseTarget(name, value string) (*url.URL, error) {
	u, err := url.Parse(value)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, fmt.Errorf("%s: %q is not an absolute http or https URL", name, value)
	case u.User != nil:
		// Results show the URL.
		return nil, fmt.Errorf("%s: must not contain credentials", name)
	}
	return u, nil
}

// plainHTTP is u by plain HTTP on its default port.
func plainHTTP(u *url.URL) *url.URL {
	plain := *u
	plain.Scheme = "http"
	if u.Scheme == "https" {
		plain.Host = strings.TrimSuffix(u.Host, ":"+u.Port())
	}
	return &plain
}

// onPort is u on another port.
func onPort(u *url.URL, port string) *url.URL {
	other := *u
	other.Host = strings.TrimSuffix(u.Host, ":"+u.Port()) + ":" + port
	return &other
}
