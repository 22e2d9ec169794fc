package environment

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"time"

	"egress.scw/hack/local/internet"
	"egress.scw/hack/local/network"
	"egress.scw/hack/local/process"
)

const processInternet = "internet"

// Names that exist in the internet: the demo's default destinations.
const (
	IPEchoName  = "api.ipify.org"
	HTTPBinName = "httpbin.org"
	IPInfoName  = "ipinfo.io"
)

func zone(p network.Plan) internet.Zone {
	return internet.Zone{IPEchoName: {p.Echoes[0]}, HTTPBinName: {p.Echoes[1]}, IPInfoName: {p.Echoes[1]}, ServersName: {p.Echoes[0]}, packagesName: {p.Packages}}
}

const (
	internetDir   = Dir + "/internet"
	controlSocket = internetDir + "/control.sock"
	eventsFile    = internetDir + "/events.log"
)

// CAFile is the certificate of the authority that issues the internet's
// certificates.
func (e *Environment) CAFile() string { return internet.CertificatesIn(internetDir).CA }

// Arrived returns the packets that have arrived in the internet so far, whether
// or not a service answered.
func (e *Environment) Arrived(ctx context.Context) ([]internet.Counter, error) {
	return internet.NewClient(controlSocket).Counters(ctx)
}

// InternetEvents returns the connections, requests and queries that the
// internet's services have received so far.
func (e *Environment) InternetEvents() ([]internet.Event, error) {
	content, err := os.ReadFile(eventsFile)
	if err != nil {
		return nil, err
	}
	var events []internet.Event
	for line := range bytes.Lines(content) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // it is being written
		}
		var event internet.Event
		if err := json.Unmarshal(line, &event); err != nil {
			return nil, fmt.Errorf("%s: %w", eventsFile, err)
		}
		events = append(events, event)
	}
	return events, nil
}

func (e *Environment) startInternet(ctx context.Context) error {
	if err := os.MkdirAll(internetDir, 0o755); err != nil {
		return err
	}
	if _, err := internet.CreateCertificates(internetDir, []string{IPEchoName, HTTPBinName, IPInfoName, ServersName}, e.Plan.Echoes); err != nil {
		return err
	}
	if err := network.AddRuleset(ctx, e.Plan.Netns(network.Internet), internet.CounterRuleset()); err != nil {
		return err
	}
	p, err := e.processes.Start(process.Command{
		Name: processInternet, Path: e.binaries.local, Args: []string{processInternet}, Netns: e.Plan.Netns(network.Internet),
	})
	if err != nil {
		return err
	}
	client := internet.NewClient(controlSocket)
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		err := client.Ready(ctx)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil || !p.Alive() {
			return fmt.Errorf("the internet does not come up: %w; the end of its log:\n%s", err, e.processes.Tail(processInternet))
		}
	}
}

// ServeInternet is the main function of the internet's process.
func ServeInternet(ctx context.Context) error {
	plan := network.DefaultPlan()
	on := func(port uint16, addresses ...netip.Addr) []netip.AddrPort {
		var listen []netip.AddrPort
		for _, address := range addresses {
			listen = append(listen, netip.AddrPortFrom(address, port))
		}
		return listen
	}
	events, err := os.OpenFile(eventsFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer events.Close()
	return internet.Serve(ctx, internet.Config{
		Zone:         zone(plan),
		NameServers:  on(53, plan.Resolver, plan.OpenResolver),
		HTTP:         on(80, plan.Echoes...),
		HTTPS:        on(443, plan.Echoes...),
		Certificates: internet.CertificatesIn(internetDir),
		Control:      controlSocket,
		Events:       events,
	})
}
