package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"egress.scw/bootstrap/stack"
	"egress.scw/cloudinit"
	"egress.scw/webhook/api/v1alpha1"
)

// statusDocument is the JSON form of the status.
type statusDocument struct {
	Name      string        `json:"name"`
	Project   string        `json:"project"`
	Zone      string        `json:"zone"`
	Region    string        `json:"region"`
	Resources []resourceRow `json:"resources"`
	Addresses addresses     `json:"addresses"`
	// Machines are the proxy machines, as they report themselves.
	Machines []machineStatus `json:"machines,omitempty"`
	Tenants  []tenantRow     `json:"tenants"`
	// Drift are the steps that apply would execute.
	Drift []*stack.Step `json:"drift"`
}

// resourceRow is a resource with an ID of its own.
type resourceRow struct {
	Kind stack.Kind `json:"kind"`
	Role string     `json:"role,omitempty"`
	Name string     `json:"name"`
	ID   string     `json:"id"`
	// State is "ready", "attached" and the like, or the status of the API.
	State string `json:"state"`
	// Existing is whether the resource is an existing one that bootstrap does not
	// manage.
	Existing bool `json:"existing"`
}

// tenantRow compares the configuration of a tenant in egress.yaml with the one in
// the user data of the proxy. Scaleway does not know the revision that the proxy
// serves, which is in its responses on the port of the tenant.
type tenantRow struct {
	Name string `json:"name"`
	// Path is the egress path of the tenant in egress.yaml. It is empty if
	// egress.yaml does not contain the tenant.
	Path v1alpha1.Path `json:"path,omitempty"`
	// Wanted is the revision of the tenant in egress.yaml. It is empty if
	// egress.yaml does not contain the tenant, or if its path is Gateway.
	Wanted string `json:"wanted,omitempty"`
	// UserData is the revision in the user data of the proxy. It is empty if the user data
	// does not contain the tenant. Of several machines it is that of the first one which
	// differs from Wanted.
	UserData string `json:"userData,omitempty"`
	// Addresses are the egress addresses of the tenant, one for each machine.
	Addresses []string `json:"addresses,omitempty"`
}

// status runs the command of this name.
func (p *program) status(ctx context.Context) error {
	t, err := p.connect(ctx)
	if err != nil {
		return err
	}
	observed, plan, err := t.observeAndPlan(ctx)
	if observed == nil {
		return err
	}
	document := statusDocument{
		Name: t.spec.Name, Project: t.spec.Project, Zone: t.spec.Zone, Region: t.spec.Region,
		Resources: resourceRows(t.spec, observed), Drift: []*stack.Step{},
	}
	if plan != nil {
		document.Addresses = addressesOf(plan.Graph, t.spec)
		document.Drift = append(document.Drift, plan.Steps...)
	}
	var unread error
	if plan != nil {
		document.Machines, unread = readMachines(ctx, t, plan.Graph)
		err = errors.Join(err, unread)
	}
	document.Tenants = tenantRows(t.spec, observed, document.Addresses)
	if p.options.output == outputJSON {
		return errors.Join(err, printJSON(p.stdout, document))
	}
	_, printed := fmt.Fprint(p.stdout, statusText(t, document, plan != nil))
	return errors.Join(err, printed)
}

// resourceRows lists the existing resources in the order of plans, without those
// that are only properties of another resource.
func resourceRows(spec stack.Spec, observed *stack.Observed) []resourceRow {
	rows := []resourceRow{}
	for _, r := range observed.Resources {
		key, base := r.Key(), r.Meta()
		if key.Kind.IsProperty() {
			continue
		}
		rows = append(rows, resourceRow{Kind: key.Kind, Role: key.Role, Name: base.Name, ID: base.ID, State: stack.State(r), Existing: base.Existing})
	}
	order := kindOrder(spec)
	slices.SortStableFunc(rows, func(a, b resourceRow) int {
		return cmp.Or(order(a.Kind)-order(b.Kind), cmp.Compare(a.Role, b.Role), cmp.Compare(a.ID, b.ID))
	})
	return rows
}

// kindOrder orders kinds by their order of creation. Kinds that are no longer
// wanted come last.
func kindOrder(spec stack.Spec) func(stack.Kind) int {
	var kinds []stack.Kind
	if graph, err := stack.Desired(spec); err == nil {
		for _, r := range graph.Resources() {
			kinds = append(kinds, r.Key().Kind)
		}
	}
	return func(kind stack.Kind) int {
		if i := slices.Index(kinds, kind); i >= 0 {
			return i
		}
		return len(kinds)
	}
}

// tenantRows are the tenants of egress.yaml in their order, and those that only
// the proxy knows.
func tenantRows(spec stack.Spec, observed *stack.Observed, known addresses) []tenantRow {
	machines := revisionsOf(observed)
	rows := []tenantRow{}
	for _, tenant := range spec.Tenants {
		row := tenantRow{Name: tenant.Name, Path: cmp.Or(tenant.Path, v1alpha1.PathProxy), Addresses: known.of(tenant)}
		if tenant.IsProxied() {
			row.Wanted = tenant.Revision()
		}
		row.UserData = differing(machines, tenant.Name, row.Wanted)
		rows = append(rows, row)
	}
	unwanted := map[string]string{}
	for _, revisions := range machines {
		maps.Copy(unwanted, revisions)
	}
	for _, name := range slices.Sorted(maps.Keys(unwanted)) {
		if !slices.ContainsFunc(spec.Tenants, func(t v1alpha1.Tenant) bool { return t.Name == name }) {
			rows = append(rows, tenantRow{Name: name, UserData: unwanted[name]})
		}
	}
	return rows
}

// revisionsOf returns the revisions of the tenants in the user data of each machine, in
// the order of the machines.
func revisionsOf(observed *stack.Observed) []map[string]string {
	byRole := map[string]map[string]string{}
	for _, r := range observed.Resources {
		if data, ok := r.(*stack.UserData); ok && data.DataKey == cloudinit.UserDataSquidConf {
			byRole[data.Server.Role] = data.Revisions
		}
	}
	var machines []map[string]string
	for _, role := range slices.Sorted(maps.Keys(byRole)) {
		machines = append(machines, byRole[role])
	}
	return machines
}

// differing returns the revision of a tenant in the user data of the first machine that
// does not have the wanted one, and otherwise the wanted one.
func differing(machines []map[string]string, tenant, wanted string) string {
	for _, revisions := range machines {
		if revisions[tenant] != wanted {
			return revisions[tenant]
		}
	}
	if len(machines) == 0 {
		return ""
	}
	return wanted
}

// statusText is the readable form of the status. The differences are left out if
// they were not computed.
func statusText(t *target, document statusDocument, compared bool) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s (project %s, %s)\n", document.Name, document.Project, document.Zone)
	rows := [][]string{{"KIND", "NAME", "ID", "STATE"}}
	for _, row := range document.Resources {
		state := row.State
		if row.Existing {
			state += " (existing)"
		}
		rows = append(rows, []string{keyText(row.Kind, row.Role, row.ID), row.Name, row.ID, state})
	}
	if len(rows) == 1 {
		rows = [][]string{{"none"}}
	}
	text.WriteString("\nResources\n" + columns(rows))
	if rows := addressRows(document.Addresses); len(rows) > 0 {
		text.WriteString("\nAddresses\n" + columns(rows))
	}
	if rows := machineCells(document.Machines); len(rows) > 0 {
		text.WriteString("\nProxy machines\n" + columns(rows))
	}
	if len(document.Tenants) > 0 {
		text.WriteString("\nTenants\n" + columns(tenantCells(document.Tenants)))
	}
	if !compared {
		return text.String()
	}
	if len(document.Drift) == 0 {
		fmt.Fprintf(&text, "\nEverything at Scaleway matches %s.\n", t.file)
		return text.String()
	}
	fmt.Fprintf(&text, "\nDiffers from %s (see %s)\n", t.file, t.command("plan"))
	text.WriteString(columns(driftCells(document.Drift)))
	return text.String()
}

func tenantCells(tenants []tenantRow) [][]string {
	rows := [][]string{{"NAME", "EGRESS.YAML", "USER DATA", "EGRESS ADDRESS", ""}}
	for _, row := range tenants {
		note := ""
		switch {
		case row.Path == "":
			note = "no longer in egress.yaml"
		case row.Path == v1alpha1.PathGateway && row.UserData == "":
			note = "does not use the proxy"
		case row.Path == v1alpha1.PathGateway:
			note = "still in the user data"
		case row.UserData == "":
			note = "not in the user data yet"
		case row.UserData != row.Wanted:
			note = "changed"
		}
		rows = append(rows, []string{row.Name, cmp.Or(row.Wanted, "-"), cmp.Or(row.UserData, "-"), cmp.Or(strings.Join(row.Addresses, ", "), "-"), note})
	}
	return rows
}

func driftCells(steps []*stack.Step) [][]string {
	var rows [][]string
	for _, step := range steps {
		if !step.ReplacedResource() {
			row := newPlanRow(step)
			rows = append(rows, []string{row.sign, row.key, row.name})
		}
	}
	return rows
}
