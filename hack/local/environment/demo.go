package environment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"egress.scw/hack/local/process"
	"egress.scw/hack/local/progress"
)

const (
	// DemoTenant is the tenant of the demo with path Proxy, and the name of its
	// namespace.
	DemoTenant = "client-a"
	// DemoGatewayTenant is that with path Gateway, and the name of its namespace.
	DemoGatewayTenant = "client-c"

	// PageURL is the address of the page of DemoTenant on this machine.
	PageURL = "http://127.0.0.1:" + pagePort
	// GatewayPageURL is that of DemoGatewayTenant.
	GatewayPageURL = "http://127.0.0.1:" + gatewayPagePort

	pagePort        = "8088"
	gatewayPagePort = "8087"
)

// demoPage is a demo in a tenant's namespace, whose page is forwarded to a port of this
// machine.
type demoPage struct {
	tenant, kustomization, process, port, url string
}

// demoPages are the demos of the two kinds of tenant, side by side.
func demoPages() []demoPage {
	return []demoPage{
		{DemoTenant, "demo/deploy", "port-forward", pagePort, PageURL},
		{DemoGatewayTenant, "demo/tenants/gateway", "port-forward-gateway", gatewayPagePort, GatewayPageURL},
	}
}

// Demo brings the environment up if necessary, installs the chart, labels a
// namespace of each kind of tenant, deploys the demo there, and writes the demo's
// findings about its egress path. It returns an error if they are not those of the
// tenant's path. In a new environment, most of that is done while the proxy's machine
// boots.
func Demo(ctx context.Context, log *progress.Log, options Options, w io.Writer) error {
	var found findings
	demonstrate := func(ctx context.Context, e *Environment) error {
		if err := log.Step("namespaces "+DemoTenant+" and "+DemoGatewayTenant+", demo", func() error { return e.DeployDemo(ctx) }); err != nil {
			return err
		}
		return log.Step("the demo's checks", func() (err error) {
			found, err = e.runChecks(ctx)
			return err
		})
	}
	var e *Environment
	var err error
	if isUp() {
		log.Printf("using the running local environment")
		e, err = openInstalled(ctx, log, options)
		if err == nil {
			err = demonstrate(ctx, e)
		}
	} else {
		e, err = upInstalled(ctx, log, options, demonstrate)
	}
	if err != nil {
		return err
	}
	provisioned, err := e.provisioned(ctx)
	if err != nil {
		return err
	}
	return e.summarise(w, provisioned, found)
}

// openInstalled opens the running environment, and installs the chart if it is not.
func openInstalled(ctx context.Context, log *progress.Log, options Options) (*Environment, error) {
	e, err := Open(ctx, log, options)
	if err != nil {
		return nil, err
	}
	return e, log.Step("helm install egress-webhook", func() error { return e.install(ctx) })
}

// upInstalled brings the environment up. It installs the chart before the proxy serves,
// and then upgrades it, as bootstrap's output says: the values have the certificate of the
// proxy's machine only then. Meanwhile it does the work, which needs the chart. If that
// fails, the environment is up all the same, and a further run repeats it.
func upInstalled(ctx context.Context, log *progress.Log, options Options, work func(context.Context, *Environment) error) (*Environment, error) {
	i := installation{
		installed: make(chan bool, 1),
		install: func(ctx context.Context, e *Environment) error {
			return log.Step("helm install egress-webhook", func() error { return e.install(ctx) })
		},
		work: work,
		upgrade: func(ctx context.Context, e *Environment) error {
			return log.Step("helm upgrade egress-webhook", func() error { return e.upgrade(ctx) })
		},
	}
	e, err := up(ctx, log, options, further{cluster: i.onCluster, proxy: i.onProxy})
	if err != nil {
		return nil, err
	}
	return e, i.failed
}

// install installs the chart, unless it is installed, and waits for the webhook. Helm
// would wait for the tenants too, which are Ready once the proxy serves.
func (e *Environment) install(ctx context.Context) error {
	release, err := e.Release()
	if err != nil {
		return err
	}
	release.Wait = false
	if err := release.Ensure(ctx); err != nil {
		return err
	}
	_, err = e.Kubectl(ctx, nil, "--namespace="+release.Namespace, "rollout", "status", "deployment/"+release.Name, "--timeout=600s")
	return err
}

// upgrade installs the chart with the present values, without a wait: the demo needs none.
func (e *Environment) upgrade(ctx context.Context) error {
	release, err := e.Release()
	if err != nil {
		return err
	}
	release.Wait = false
	return release.Upgrade(ctx)
}

// DeployDemo deploys the demo into a namespace of each kind of tenant and serves the
// pages at PageURL and GatewayPageURL.
func (e *Environment) DeployDemo(ctx context.Context) error {
	// The tenant of path Gateway needs no port of the proxy, and so is not in
	// egress.yaml.
	manifest := filepath.Join(e.Repository, "demo/tenants/gateway-tenant.yaml")
	if _, err := e.Kubectl(ctx, nil, "apply", "--server-side", "-f", manifest); err != nil {
		return err
	}
	// The webhook refuses a namespace whose tenant it has not read yet.
	if _, err := e.Kubectl(ctx, nil, "wait", "egresstenant/"+DemoGatewayTenant, "--for=condition=PolicyApplied", "--timeout=600s"); err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, page := range demoPages() {
		group.Go(func() error { return e.deployPage(groupCtx, page) })
	}
	return group.Wait()
}

func (e *Environment) deployPage(ctx context.Context, page demoPage) error {
	if err := e.ApplyNamespace(ctx, page.tenant, page.tenant); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"apply", "--server-side", "-k", filepath.Join(e.Repository, page.kustomization)},
		{"rollout", "status", "deployment/egress-demo", "--timeout=600s"},
	} {
		if _, err := e.Kubectl(ctx, nil, append([]string{"--namespace=" + page.tenant}, args...)...); err != nil {
			return err
		}
	}
	// Restarted each time: port forwarding ends with the pod that it leads
	// to.
	if err := e.processes.Stop(ctx, time.Second, page.process); err != nil {
		return err
	}
	forward := e.Cluster.Command("kubectl", "--kubeconfig="+e.Kubeconfig(), "--namespace="+page.tenant,
		"port-forward", "service/egress-demo", page.port+":80")
	forward.Name, forward.Netns = page.process, ""
	p, err := e.processes.Start(forward)
	if err != nil {
		return err
	}
	return e.waitPage(ctx, page, p)
}

func (e *Environment) waitPage(ctx context.Context, page demoPage, forward process.Process) error {
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if !forward.Alive() {
			return fmt.Errorf("%s cannot be served: %s", page.url, e.processes.Tail(page.process))
		}
		err := get(ctx, page.url+"/healthz")
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
	Denial  struct {
		Statement string `json:"statement"`
	} `json:"denial"`
}

// findings are the results of the demo's checks: of the tenant with path Proxy, with the
// proxy's log line, and the direct attempt of the tenant with path Gateway.
type findings struct {
	proxied, direct, denied, gateway checkResult
	logged                           AuditLine
}

// runChecks runs the demo's checks side by side: the direct attempt of a closed path takes
// 4 s.
func (e *Environment) runChecks(ctx context.Context) (findings, error) {
	_, position, err := e.Audit(0)
	if err != nil {
		return findings{}, err
	}
	var found findings
	group, groupCtx := errgroup.WithContext(ctx)
	run := func(page, name string, into *checkResult) (err error) {
		*into, err = runCheck(groupCtx, page, name)
		return err
	}
	group.Go(func() error { return run(PageURL, "direct", &found.direct) })
	group.Go(func() error { return run(GatewayPageURL, "direct", &found.gateway) })
	group.Go(func() (err error) {
		// The machine may still boot.
		if _, err := e.Kubectl(groupCtx, nil, "wait", "egresstenant/"+DemoTenant, "--for=condition=Ready", "--timeout=600s"); err != nil {
			return err
		}
		if err := errors.Join(run(PageURL, "external-ip", &found.proxied), run(PageURL, "denied", &found.denied)); err != nil {
			return err
		}
		found.logged, err = e.waitAudit(groupCtx, position)
		return err
	})
	err = group.Wait()
	return found, err
}

func runCheck(ctx context.Context, page, name string) (checkResult, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // a check takes at most 18 s
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, page+"/api/checks/"+name, nil)
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
			Shared    []string            `json:"shared"`
			Dedicated map[string][]string `json:"dedicated"`
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
	fmt.Fprintf(&text, "by bootstrap: %d resources; egress addresses: shared %s", len(status.Resources), strings.Join(status.Addresses.Shared, " and "))
	for _, tenant := range slices.Sorted(maps.Keys(status.Addresses.Dedicated)) {
		fmt.Fprintf(&text, ", %s %s", tenant, strings.Join(status.Addresses.Dedicated[tenant], " and "))
	}
	return text.String(), nil
}

func (e *Environment) summarise(w io.Writer, provisioned string, found findings) error {
	egress, err := e.EgressAddress(DemoTenant)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\nPage\t%s (path Proxy), %s (path Gateway)\n", PageURL, GatewayPageURL)
	fmt.Fprintf(t, "Provisioned\t%s\n", provisioned)
	fmt.Fprintf(t, "Seen by the internet\t%s (the proxy's address: %s)\n", found.proxied.Address, egress)
	fmt.Fprintf(t, "Proxy of the pod\t%s\n", found.proxied.Via)
	fmt.Fprintf(t, "Direct attempt\t%s (%s)\n", found.direct.Summary, found.direct.Error)
	fmt.Fprintf(t, "Forbidden port\t%s\n", found.denied.Denial.Statement)
	fmt.Fprintf(t, "Path Gateway\t%s\n", found.gateway.Summary)
	fmt.Fprintf(t, "Proxy's audit log\t%s\n", found.logged.Text)
	fmt.Fprintf(t, "Cluster\texport KUBECONFIG=%s\n", e.Kubeconfig())
	fmt.Fprintf(t, "Scaleway\t. %s; bootstrap status --config %s\n", credentialsFile, e.ConfigFile())
	if err := t.Flush(); err != nil {
		return err
	}
	return found.check(egress, e.Plan.GatewayPublic)
}

// check compares the findings with the addresses of the two paths.
func (f findings) check(egress, gateway netip.Addr) error {
	switch {
	case !f.proxied.OK:
		return fmt.Errorf("the egress path through the proxy does not work: %s %s", f.proxied.Summary, f.proxied.Error)
	case f.proxied.Address != egress.String():
		return fmt.Errorf("the internet saw %s, not the proxy's address %s", f.proxied.Address, egress)
	case !f.direct.OK:
		return fmt.Errorf("the direct egress path is not closed: %s", f.direct.Summary)
	case !f.denied.OK:
		return fmt.Errorf("the proxy does not refuse a forbidden port: %s %s", f.denied.Summary, f.denied.Error)
	case !f.gateway.OK:
		return fmt.Errorf("the egress path by the Public Gateway does not work: %s %s", f.gateway.Summary, f.gateway.Error)
	case f.gateway.Address != gateway.String():
		return fmt.Errorf("the internet saw %s, not the gateway's address %s", f.gateway.Address, gateway)
	case f.logged.Tenant != DemoTenant:
		return errors.New("the proxy logged another tenant: " + f.logged.Tenant)
	}
	return nil
}
