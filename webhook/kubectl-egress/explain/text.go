package explain

import (
	"fmt"
	"slices"
	"strings"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/kubectl-egress/coverage"
	"egress.scw/webhook/kubectl-egress/state"
	"egress.scw/webhook/kubectl-egress/table"
)

// Text returns the explanation for a terminal. With wide, values are not shortened.
func (p *Pod) Text(paint table.Paint, wide bool) string {
	t := newText(paint, wide)
	t.field("Object", p.Object)
	t.tenancy(p.Namespace, p.Tenant)
	t.decision(p.Decision, p.Warnings)
	if p.Coverage != nil {
		t.coverage(*p.Coverage)
	}
	if p.Sidecar {
		t.field("Sidecar", names.SidecarName)
	}
	for _, container := range p.Containers {
		kind := "Container"
		if container.Init {
			kind = "Init container"
		}
		t.field(kind, container.Name)
		t.variables(container.Variables)
		if len(container.Elsewhere) > 0 {
			t.item("value from elsewhere: " + strings.Join(container.Elsewhere, ", "))
		}
		if container.Route != nil {
			t.route(p.URL, container.Route)
		}
	}
	t.policy(p.Policy)
	return t.String()
}

// Text returns the explanation for a terminal.
func (n *Namespace) Text(paint table.Paint, wide bool) string {
	t := newText(paint, wide)
	t.field("Object", n.Object)
	t.tenancy("", n.Tenant)
	t.decision(n.Decision, n.Warnings)
	if len(n.Variables) > 0 {
		t.field("New pods get", "")
		t.variables(n.Variables)
	}
	t.policy(n.Policy)
	c := n.Pods
	t.field("Pods", fmt.Sprintf("%d, of which %d covered, %d opted out, %d of path Gateway, %d without variables, %d outdated, %d refused, %d in the node's network",
		c.Pods, c.Covered, c.OptedOut, c.Gateway, c.WithoutVariables, c.Outdated, c.Refused, c.HostNetwork))
	for _, pod := range n.Uncovered {
		t.item(t.paint.In(table.Red, pod.Name) + ": " + pod.Reason)
	}
	for _, finding := range n.Findings {
		t.field("Finding", t.paint.In(table.Red, finding.Message))
		t.field("Remedy", finding.Remedy)
	}
	return t.String()
}

// Text returns the explanation for a terminal.
func (e *Tenant) Text(paint table.Paint, wide bool) string {
	t := newText(paint, wide)
	t.field("Object", e.Object)
	t.field("Path", e.Path)
	if e.Path == "Proxy" {
		t.field("Proxy", e.ProxyURL)
		t.field("Revision", e.Revision)
		t.field("Mode", e.Mode)
		if e.Mode != "Open" {
			t.field("Domains", t.shorten(strings.Join(e.Domains, " ")))
		}
		t.field("Ports", strings.Trim(fmt.Sprint(e.Ports), "[]"))
	}
	t.field("Leaves by", orElse(strings.Join(e.Egress, ", "), "no address is published"))
	t.field("Namespaces", orElse(t.shorten(strings.Join(e.Namespaces, " ")), "none"))
	for _, fault := range e.Invalid {
		t.field("Not valid", t.paint.In(table.Red, fault))
	}
	if e.NotKeptUp != "" {
		t.field("Not kept up", t.paint.In(table.Red, e.NotKeptUp))
	}
	for _, condition := range e.Conditions {
		colour := table.Green
		if condition.Status != "True" {
			colour = table.Red
		}
		t.field(condition.Type, t.paint.In(colour, condition.Status)+" ("+condition.Reason+"): "+condition.Message)
		if condition.Remedy != "" {
			t.item("remedy: " + condition.Remedy)
		}
	}
	if e.Verdict != nil {
		t.field("URL", e.Verdict.Text(paint))
	}
	return t.String()
}

// Text returns the verdict in one line.
func (v *Verdict) Text(paint table.Paint) string {
	colour, rule := table.Green, ""
	if !v.Passes() {
		colour = table.Red
	}
	if v.Rule != "" {
		rule = " by rule " + string(v.Rule)
	}
	return fmt.Sprintf("%s%s: %s", paint.In(colour, string(v.Verdict)), rule, v.Message)
}

// text collects lines of the form "Name: value".
type text struct {
	strings.Builder
	paint table.Paint
	wide  bool
}

func newText(paint table.Paint, wide bool) *text { return &text{paint: paint, wide: wide} }

const nameWidth = 16

func (t *text) field(name, value string) {
	line := strings.TrimRight(fmt.Sprintf("%-*s%s", nameWidth, name+":", table.Line(value)), " ")
	_, _ = t.WriteString(line + "\n") // a Builder returns no error
}

func (t *text) item(value string) {
	_, _ = t.WriteString(strings.Repeat(" ", nameWidth) + table.Line(value) + "\n")
}

// maxValue bounds a value that is shortened, in bytes.
const maxValue = 100

func (t *text) shorten(value string) string {
	if t.wide || len(value) <= maxValue {
		return value
	}
	cut := max(strings.LastIndexAny(value[:maxValue], ", "), maxValue/2)
	return fmt.Sprintf("%s… (%d bytes; all with -o wide)", value[:cut], len(value))
}

func (t *text) tenancy(namespace, tenant string) {
	if namespace != "" {
		t.field("Namespace", namespace)
	}
	t.field("Tenant", orElse(tenant, "none"))
}

func (t *text) decision(d Decision, warnings []string) {
	colour := table.Green
	switch d.Action {
	case inject.Skip:
		colour = table.Yellow
	case inject.Deny:
		colour = table.Red
	case inject.Inject:
	}
	t.field("Webhook", t.paint.In(colour, string(d.Action))+" ("+string(d.Reason)+"): "+d.Message)
	if d.Remedy != "" {
		t.field("Remedy", d.Remedy)
	}
	for _, warning := range warnings {
		t.field("Warning", t.paint.In(table.Yellow, warning))
	}
}

func (t *text) coverage(pod coverage.Pod) {
	colour := table.Green
	if pod.Kind.Uncovered() {
		colour = table.Red
	}
	line := t.paint.In(colour, string(pod.Kind))
	if pod.Reason != "" {
		line += ": " + pod.Reason
	}
	t.field("Coverage", line)
	if pod.Remedy != "" {
		t.field("Remedy", pod.Remedy)
	}
}

func (t *text) variables(variables []Variable) {
	if len(variables) == 0 {
		t.item("no proxy variables")
	}
	for _, v := range variables {
		t.item(v.Name + "=" + t.shorten(v.Value))
	}
}

func (t *text) route(url string, route *Route) {
	way := "directly"
	switch route.Way {
	case WayProxy:
		way = "by the proxy " + route.Proxy
	case WayCapture:
		way = "by the sidecar"
	case WayUnknown:
		way = "by a way that is not known"
	case WayDirect:
	}
	colour := map[Openness]table.Colour{Open: table.Green, Closed: table.Red, Depends: table.Yellow}[route.Open]
	t.item(fmt.Sprintf("%s goes %s: %s", url, way, t.paint.In(colour, strings.ToLower(string(route.Open)))))
	message := route.Message
	if route.Verdict != nil {
		message = route.Verdict.Text(t.paint)
	}
	t.item(message)
}

func (t *text) policy(p *Policy) {
	if p == nil {
		t.field("NetworkPolicy", "none of the webhook's")
		return
	}
	line := p.Name
	switch p.State {
	case state.PolicyInSync:
		line += ", " + t.paint.In(table.Green, "in sync")
	case state.PolicyOutOfSync:
		line += ", " + t.paint.In(table.Red, "out of sync")
	case state.PolicyMissing:
		line = t.paint.In(table.Red, line+" is missing")
	case state.PolicyUnknown, state.PolicyNone:
	}
	t.field("NetworkPolicy", line)
	for _, rule := range p.Egress {
		t.item("to " + rule)
	}
	if p.State != state.PolicyMissing && len(p.Egress) == 0 {
		t.item("to nothing")
	}
	for _, rule := range p.Ingress {
		t.item("from " + rule)
	}
	for _, policy := range slices.Sorted(slices.Values(p.Foreign)) {
		t.item(t.paint.In(table.Red, "beside it: "+policy))
	}
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
