package coverage

import (
	"fmt"
	"strconv"
	"strings"

	"egress.scw/webhook/kubectl-egress/state"
	"egress.scw/webhook/kubectl-egress/table"
)

// Text returns the report for a terminal.
func (r *Report) Text(paint table.Paint, wide bool) string {
	parts := []string{r.tenants(wide).String(paint), r.machines().String(paint)}
	if len(r.Namespaces) > 0 {
		parts = append(parts, r.namespaces(wide).String(paint))
	}
	if len(r.Uncovered) > 0 {
		parts = append(parts, r.uncovered(wide).String(paint))
	}
	var findings strings.Builder
	for _, finding := range r.Findings {
		fmt.Fprintf(&findings, "%s %s\n  remedy: %s\n", paint.In(table.Red, finding.Object+":"), table.Line(finding.Message), table.Line(finding.Remedy))
	}
	if findings.Len() > 0 {
		parts = append(parts, findings.String())
	}
	c := r.Total
	summary := paint.In(table.Green, fmt.Sprintf("Covered: all pods (%d, of which %d opted out and %d of path Gateway) of all tenants (%d).",
		c.Pods, c.OptedOut, c.Gateway, len(r.Tenants)))
	if !r.IsCovered() {
		summary = paint.In(table.Red, fmt.Sprintf("Uncovered: %d of %d pods. Findings: %d.", c.Uncovered(), c.Pods, len(r.Findings)))
	}
	return strings.Join(append(parts, summary+"\n"), "\n")
}

func (r *Report) tenants(wide bool) *table.Table {
	t := &table.Table{Header: []string{"TENANT", "PATH", "PORT", "MODE", "READY", "REASON", "SERVED", "NAMESPACES", "PODS", "UNCOVERED", "EGRESS"}}
	if wide {
		t.Header = append(t.Header, "REVISION", "MESSAGE")
	}
	for _, tenant := range r.Tenants {
		cells := []table.Cell{
			table.Text(tenant.Name), table.Text(tenant.Path), table.Text(orDash(tenant.Port)), table.Text(textOrDash(tenant.Mode)),
			status(tenant.Ready), table.Text(tenant.Reason), status(textOrDash(tenant.Served)), number(tenant.Namespaces), number(tenant.Pods.Pods),
			bad(tenant.Pods.Uncovered()), table.Text(textOrDash(strings.Join(tenant.Egress, ","))),
		}
		if wide {
			cells = append(cells, table.Text(textOrDash(tenant.Revision)), table.Text(tenant.Message))
		}
		t.Add(cells...)
	}
	return t
}

func (r *Report) machines() *table.Table {
	t := &table.Table{Header: []string{"MACHINE", "SERVES", "FAULTS"}}
	for _, machine := range r.Machines {
		t.Add(table.Text(machine.Address), table.Text(fmt.Sprintf("%d/%d tenants", machine.Serves, machine.Tenants)), bad(len(machine.Faults)))
	}
	return t
}

func (r *Report) namespaces(wide bool) *table.Table {
	t := &table.Table{Header: []string{"NAMESPACE", "TENANT", "POLICY", "PODS", "COVERED", "OPTED OUT", "GATEWAY", "UNCOVERED"}}
	if wide {
		t.Header = append(t.Header, "WITHOUT VARIABLES", "OUTDATED", "REFUSED", "HOST NETWORK")
	}
	for _, namespace := range r.Namespaces {
		colour := table.Green
		if namespace.Policy == state.PolicyMissing || namespace.Policy == state.PolicyOutOfSync {
			colour = table.Red
		}
		c := namespace.Pods
		cells := []table.Cell{
			table.Text(namespace.Name), table.Text(namespace.Tenant),
			{Text: string(namespace.Policy), Colour: colour},
			number(c.Pods), number(c.Covered), number(c.OptedOut), number(c.Gateway), bad(c.Uncovered()),
		}
		if wide {
			cells = append(cells, bad(c.WithoutVariables), bad(c.Outdated), bad(c.Refused), bad(c.HostNetwork))
		}
		t.Add(cells...)
	}
	return t
}

// maxPods bounds the pods of a table that is not wide.
const maxPods = 20

func (r *Report) uncovered(wide bool) *table.Table {
	t := &table.Table{Header: []string{"POD", "COVERAGE", "REASON"}}
	for i, pod := range r.Uncovered {
		if i == maxPods && !wide {
			t.Add(table.Text(fmt.Sprintf("and %d more (-o wide)", len(r.Uncovered)-i)), table.Text(""), table.Text(""))
			break
		}
		t.Add(table.Text(pod.Namespace+"/"+pod.Name), table.Cell{Text: string(pod.Kind), Colour: table.Red}, table.Text(pod.Reason))
	}
	return t
}

// status colours the status of a condition.
func status(text string) table.Cell {
	colour := map[string]table.Colour{"True": table.Green, "False": table.Red, "Unknown": table.Yellow}[text]
	return table.Cell{Text: text, Colour: colour}
}

func number(n int) table.Cell { return table.Text(strconv.Itoa(n)) }

// bad is a number that should be 0.
func bad(n int) table.Cell {
	cell := number(n)
	if n > 0 {
		cell.Colour = table.Red
	}
	return cell
}

func textOrDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func orDash(port int32) string {
	if port == 0 {
		return "-"
	}
	return strconv.Itoa(int(port))
}
