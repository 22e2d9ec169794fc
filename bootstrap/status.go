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

// statusDocument is what status finds, in JSON.
type statusDocument struct {
	Name      string        `json:"name"`
	Project   string        `json:"project"`
	Zone      string        `json:"zone"`
	Region    string        `json:"region"`
	Resources []resourceRow `json:"resources"`
	Addresses addresses     `json:"addresses"`
	Tenants   []tenantRow   `json:"tenants"`
	// Drift is what apply would do.
	Drift []*stack.Step `json:"drift"`
}

// resourceRow is a resource with an ID of its own.
type resourceRow struct {
	Kind stack.Kind `json:"kind"`
	Role string     `json:"role,omitempty"`
	Name string     `json:"name"`
	ID   string     `json:"id"`
	// State is "ready" and the like, or what the API calls it.
	State string `json:"state"`
	// Existing is true of what was there before.
	Existing bool `json:"given"`
}

// tenantRow compares what a tenant should be on the proxy with what the proxy
// has been given. Which revision it serves, it says itself, on the tenant's
// port.
type tenantRow struct {
	Name string `json:"name"`
	// Wanted is the revision that egress.yaml makes; empty: the tenant is
	// not in there.
	Wanted string `json:"wanted,omitempty"`
	// Proxy is the revision in the proxy's user data; empty: none.
	Proxy   string `json:"proxy,omitempty"`
	Address string `json:"address,omitempty"`
}

// status is the command.
func (p *program) status(ctx context.Context) error {
	s, err := p.connect(ctx)
	if err != nil {
		return err
	}
	observed, plan, err := stack.ObserveAndPlan(ctx, s.cloud, s.spec)
	if observed == nil {
		return err
	}
	document := statusDocument{
		Name: s.spec.Name, Project: s.spec.Project, Zone: s.spec.Zone, Region: s.spec.Region,
		Resources: resourceRows(s.spec, observed), Drift: []*stack.Step{},
	}
	if plan != nil {
		document.Addresses = addressesOf(plan.Graph, s.spec)
		document.Drift = append(document.Drift, plan.Steps...)
	}
	document.Tenants = tenantRows(s.spec, observed, document.Addresses)
	if p.options.output == outputJSON {
		return errors.Join(err, printJSON(p.stdout, document))
	}
	_, printed := fmt.Fprint(p.stdout, statusText(s, document, plan != nil))
	return errors.Join(err, printed)
}

// resourceRows lists what exists, kind by kind as plans do, without what is
// only a property of something else.
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

// kindOrder has the kinds in the order in which things are made, and at the end
// those that are no longer wanted.
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
	proxy := map[string]string{}
	for _, r := range observed.Resources {
		if data, ok := r.(*stack.UserData); ok && data.DataKey == cloudinit.UserDataSquidConf {
			proxy = data.Revisions
		}
	}
	rows := []tenantRow{}
	for _, tenant := range spec.Tenants {
		rows = append(rows, tenantRow{Name: tenant.Name, Wanted: tenant.Revision(), Proxy: proxy[tenant.Name], Address: known.of(tenant)})
	}
	for _, name := range slices.Sorted(maps.Keys(proxy)) {
		if !slices.ContainsFunc(spec.Tenants, func(t v1alpha1.Tenant) bool { return t.Name == name }) {
			rows = append(rows, tenantRow{Name: name, Proxy: proxy[name]})
		}
	}
	return rows
}

// statusText is the status as people read it. What differs may not be known.
func statusText(s *setup, document statusDocument, compared bool) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s (project %s, %s)\n", document.Name, document.Project, document.Zone)
	rows := [][]string{{"KIND", "NAME", "ID", "STATE"}}
	for _, row := range document.Resources {
		state := row.State
		if row.Existing {
			state += " (given)"
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
	if len(document.Tenants) > 0 {
		text.WriteString("\nTenants\n" + columns(tenantCells(document.Tenants)))
	}
	if !compared {
		return text.String()
	}
	if len(document.Drift) == 0 {
		fmt.Fprintf(&text, "\nEverything is as %s says.\n", s.file)
		return text.String()
	}
	fmt.Fprintf(&text, "\nDiffers from %s (see %s)\n", s.file, s.command("plan"))
	text.WriteString(columns(driftCells(document.Drift)))
	return text.String()
}

func tenantCells(tenants []tenantRow) [][]string {
	rows := [][]string{{"NAME", "WANTED", "PROXY", "LEAVES BY", ""}}
	for _, row := range tenants {
		note := ""
		switch {
		case row.Wanted == "":
			note = "not wanted any more"
		case row.Proxy == "":
			note = "not on the proxy yet"
		case row.Proxy != row.Wanted:
			note = "has changed"
		}
		rows = append(rows, []string{row.Name, cmp.Or(row.Wanted, "-"), cmp.Or(row.Proxy, "-"), cmp.Or(row.Address, "-"), note})
	}
	return rows
}

func driftCells(steps []*stack.Step) [][]string {
	var rows [][]string
	for _, step := range steps {
		if !step.ReplacedResource() {
			row := newPlanRow(step)
			rows = append(rows, []string{pad(row.sign, signWidth), row.key, row.name})
		}
	}
	return rows
}
