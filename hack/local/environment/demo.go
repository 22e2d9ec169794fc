package environment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"egress.scw/hack/local/process"
	"egress.scw/hack/local/progress"
)

const (
	// DemoTenant is the tenant of the demo, and the name of its namespace.
	DemoTenant = "client-a"

	processPage = "port-forward"
	pagePort    = "8088"
	// PageURL is the address of the demo's page on this machine.
	PageURL = "http://127.0.0.1:" + pagePort
)

// Demo brings the environment up if necessary, installs the chart, labels a
// namespace, deploys the demo, and writes the demo's findings about its egress
// path. It returns an error if they are not those of a protected tenant.
func Demo(ctx context.Context, log *progress.Log, options Options, w io.Writer) error {
	e, err := upOrOpen(ctx, log, options)
	if err != nil {
		return err
	}
	if err := log.Step("helm install egress-webhook", func() error {
		release, err := e.Release()
		if err != nil {
			return err
		}
		return release.Ensure(ctx)
	}); err != nil {
		return err
	}
	if err := log.Step("namespace "+DemoTenant+", demo", func() error { return e.DeployDemo(ctx) }); err != nil {
		return err
	}
	_, position, err := e.Audit(0)
	if err != nil {
		return err
	}
	var proxied, direct checkResult
	if err := log.Step("the demo's checks", func() error {
		proxied, err = runCheck(ctx, "external-ip")
		if err != nil {
			return err
		}
		direct, err = runCheck(ctx, "direct")
		return err
	}); err != nil {
		return err
	}
	record, err := e.waitAudit(ctx, position)
	if err != nil {
		return err
	}
	provisioned, err := e.provisioned(ctx)
	if err != nil {
		return err
	}
	return e.summarise(w, provisioned, proxied, direct, record)
}

func upOrOpen(ctx context.Context, log *progress.Log, options Options) (*Environment, error) {
	if isUp() {
		log.Printf("using the running local environment")
		return Open(ctx, log, options)
	}
	return Up(ctx, log, options)
}

// DeployDemo deploys the demo into its tenant's namespace and serves its page
// at PageURL.
func (e *Environment) DeployDemo(ctx context.Context) error {
	if err := e.ApplyNamespace(ctx, DemoTenant, DemoTenant); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"apply", "--server-side", "-k", filepath.Join(e.Repository, "demo/deploy")},
		{"rollout", "status", "deployment/egress-demo", "--timeout=600s"},
	} {
		if _, err := e.Kubectl(ctx, nil, append([]string{"--namespace=" + DemoTenant}, args...)...); err != nil {
			return err
		}
	}
	// Restarted each time: port forwarding ends with the pod that it leads
	// to.
	if err := e.processes.Stop(ctx, time.Second, processPage); err != nil {
		return err
	}
	forward := e.Cluster.Command("kubectl", "--kubeconfig="+e.Kubeconfig(), "--namespace="+DemoTenant,
		"port-forward", "service/egress-demo", pagePort+":80")
	forward.Name, forward.Netns = processPage, ""
	p, err := e.processes.Start(forward)
	if err != nil {
		return err
	}
	return e.waitPage(ctx, p)
}

func (e *Environment) waitPage(ctx context.Context, forward process.Process) error {
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if !forward.Alive() {
			return fmt.Errorf("%s cannot be served: %s", PageURL, e.processes.Tail(processPage))
		}
		err := get(ctx, PageURL+"/healthz")
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return err
		}
	}
}

// get checks whether a server of this machine answers.
func get(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// checkResult is the demo's answer to a request for a check.
type checkResult struct {
	OK      bool   `json:"ok"`
	Summary string `json:"summary"`
	Via     string `json:"via"`
	Address string `json:"address"`
	Error   string `json:"error"`
}

func runCheck(ctx context.Context, name string) (checkResult, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // a check takes at most 10 s
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, PageURL+"/api/checks/"+name, nil)
	if err != nil {
		return checkResult{}, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return checkResult{}, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return checkResult{}, fmt.Errorf("the demo's check %s: %s", name, response.Status)
	}
	var result checkResult
	return result, json.NewDecoder(response.Body).Decode(&result)
}

// waitAudit waits for the proxy's log line about the IP echo. The proxy logs a
// tunnel when it closes.
func (e *Environment) waitAudit(ctx context.Context, position int64) (AuditLine, error) {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		records, _, err := e.Audit(position)
		if err != nil {
			return AuditLine{}, err
		}
		for _, record := range records {
			if record.Host == IPEchoName {
				return record, nil
			}
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return AuditLine{}, fmt.Errorf("the proxy logged no request for %s in %s", IPEchoName, e.AuditLog())
		}
	}
}

// provisioned returns bootstrap's status in one line.
func (e *Environment) provisioned(ctx context.Context) (string, error) {
	out, err := e.Bootstrap(ctx, "status", "--output", "json", "--config", e.ConfigFile())
	if err != nil {
		return "", err
	}
	var status struct {
		Resources []any `json:"resources"`
		Addresses struct {
			Shared    string            `json:"shared"`
			Dedicated map[string]string `json:"dedicated"`
		} `json:"addresses"`
		Drift []any `json:"drift"`
	}
	if err := json.Unmarshal([]byte(out), &status); err != nil {
		return "", fmt.Errorf("bootstrap status: %w", err)
	}
	if len(status.Drift) > 0 {
		return "", fmt.Errorf("bootstrap's resources do not match %s: %v", e.ConfigFile(), status.Drift)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "by bootstrap: %d resources; egress addresses: shared %s", len(status.Resources), status.Addresses.Shared)
	for _, tenant := range slices.Sorted(maps.Keys(status.Addresses.Dedicated)) {
		fmt.Fprintf(&text, ", %s %s", tenant, status.Addresses.Dedicated[tenant])
	}
	return text.String(), nil
}

func (e *Environment) summarise(w io.Writer, provisioned string, proxied, direct checkResult, record AuditLine) error {
	egress, err := e.EgressAddress(DemoTenant)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\nPage\t%s\n", PageURL)
	fmt.Fprintf(t, "Provisioned\t%s\n", provisioned)
	fmt.Fprintf(t, "Seen by the internet\t%s (the proxy's address: %s)\n", proxied.Address, egress)
	fmt.Fprintf(t, "Proxy of the pod\t%s\n", proxied.Via)
	fmt.Fprintf(t, "Direct attempt\t%s (%s)\n", direct.Summary, direct.Error)
	fmt.Fprintf(t, "Proxy's audit log\t%s\n", record.Text)
	fmt.Fprintf(t, "Cluster\texport KUBECONFIG=%s\n", e.Kubeconfig())
	fmt.Fprintf(t, "Scaleway\t. %s; bootstrap status --config %s\n", credentialsFile, e.ConfigFile())
	if err := t.Flush(); err != nil {
		return err
	}
	switch {
	case !proxied.OK:
		return fmt.Errorf("the egress path through the proxy does not work: %s %s", proxied.Summary, proxied.Error)
	case proxied.Address != egress.String():
		return fmt.Errorf("the internet saw %s, not the proxy's address %s", proxied.Address, egress)
	case !direct.OK:
		return fmt.Errorf("the direct egress path is not closed: %s", direct.Summary)
	case record.Tenant != DemoTenant:
		return errors.New("the proxy logged another tenant: " + record.Tenant)
	}
	return nil
}
