package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/golden"

	"egress.scw/bootstrap/stack"
)

// planCase is a plan from one configuration to another.
type planCase struct {
	name string
	// before are changes to baseConfig that describe the existing resources. Nil:
	// all resources of baseConfig exist.
	before []string
	after  []string
	// touch changes the existing resources.
	touch func(*stack.Observed)
	empty bool // no resource exists
	// destroy plans the deletion of the existing resources.
	destroy bool
}

func planCases() []planCase {
	return []planCase{
		{name: "first-run", empty: true},
		{name: "no-op"},
		{name: "change", after: []string{
			"port: 3129", "port: 3131", // a tenant
			"PRO2-XXS, size: 2", "PRO2-XXS, size: 3", // a pool
			"192.0.2.0/24", "192.0.2.128/25", // a rule
		}},
		{name: "tenants-come-and-go", after: []string{
			"    - {name: client-b, proxy: {port: 3130, egressIP: Dedicated}}", "    - {name: client-c, proxy: {port: 3132, egressIP: Dedicated}}",
		}},
		{name: "swap", after: []string{"port: 3129", "port: 9999", "port: 3130", "port: 3129", "port: 9999", "port: 3130"}},
		{name: "replace", after: []string{"proxy:\n", "proxy:\n    type: PLAY2-MICRO\n", "PRO2-XS", "PRO2-S"}},
		{name: "second-machine", after: twoMachines()},
		{name: "two-machines-replaced", before: twoMachines(), after: append(twoMachines(), "proxy:\n", "proxy:\n    type: PLAY2-MICRO\n")},
		{name: "existing", before: []string{"cidr: 172.16.28.0/22", "id: 22222222-3333-4444-8555-666666666666"}, after: []string{
			"cidr: 172.16.28.0/22", "id: 22222222-3333-4444-8555-666666666666", "port: 3129", "port: 3131",
		}},
		{name: "gone-and-doubled", touch: func(o *stack.Observed) {
			var kept []stack.Resource
			for _, r := range o.Resources {
				if group, ok := r.(*stack.SecurityGroup); ok {
					second := *group
					second.ID, second.CreatedAt = "00000000-0000-4000-8000-00000000cafe", group.CreatedAt.Add(time.Hour)
					kept = append(kept, &second)
				}
				if r.Key().Kind != stack.KindGatewayNetwork {
					kept = append(kept, r)
				}
			}
			o.Resources = kept
		}},
		{name: "destroy", destroy: true},
		{name: "destroy-nothing", destroy: true, empty: true},
	}
}

func (c planCase) plan(t *testing.T) (stack.Spec, *stack.Plan) {
	t.Helper()
	observed := &stack.Observed{}
	if !c.empty {
		_, observed = made(t, newSpec(t, replaced(t, c.before...)))
	}
	if c.touch != nil {
		c.touch(observed)
	}
	spec := newSpec(t, replaced(t, c.after...))
	if c.destroy {
		return spec, stack.DiffDestroy(observed)
	}
	plan, err := stack.Diff(spec, observed)
	if err != nil {
		t.Fatal(err)
	}
	return spec, plan
}

func TestPlanGolden(t *testing.T) {
	var used []string
	for _, c := range planCases() {
		t.Run(c.name, func(t *testing.T) {
			spec, plan := c.plan(t)
			golden.Assert(t, settled(planTable(spec, plan, "egress.yaml", false)), "plan-"+c.name+".golden.txt")
			var text strings.Builder
			if err := printJSON(&text, newPlanDocument(spec, plan)); err != nil {
				t.Fatal(err)
			}
			golden.Assert(t, settled(text.String()), "plan-"+c.name+".golden.json")
		})
		used = append(used, "plan-"+c.name+".golden.txt", "plan-"+c.name+".golden.json")
	}
	noStale(t, "plan-*", used)
}

// settled hides the number of different lines, which depends on the text of
// squid.conf.
func settled(text string) string {
	return regexp.MustCompile(`\d+ lines`).ReplaceAllString(text, "N lines")
}

// TestPlanColours requires colours in signs only.
func TestPlanColours(t *testing.T) {
	for _, c := range planCases() {
		spec, plan := c.plan(t)
		plain, coloured := planTable(spec, plan, "egress.yaml", false), planTable(spec, plan, "egress.yaml", true)
		if strings.Contains(plain, "\x1b") {
			t.Errorf("%s: unexpected colour", c.name)
		}
		if stripped := regexp.MustCompile(`\x1b\[\d+m`).ReplaceAllString(coloured, ""); stripped != plain {
			t.Errorf("%s: without colours, the table is\n%s\nwant\n%s", c.name, stripped, plain)
		}
		if plan.Empty() == strings.Contains(coloured, "\x1b") {
			t.Errorf("%s: coloured: %t", c.name, !plan.Empty())
		}
	}
}

// TestPlanJSON requires the documented fields.
func TestPlanJSON(t *testing.T) {
	spec, plan := planCase{after: []string{"proxy:\n", "proxy:\n    type: PLAY2-MICRO\n"}}.plan(t)
	var text strings.Builder
	if err := printJSON(&text, newPlanDocument(spec, plan)); err != nil {
		t.Fatal(err)
	}
	var document struct {
		Name, Project, Zone, Region string
		Counts                      map[string]int
		Steps                       []struct{ Action, Kind string }
	}
	if err := json.Unmarshal([]byte(text.String()), &document); err != nil {
		t.Fatal(err)
	}
	if document.Name != "production" || document.Project != project || document.Zone != "fr-par-1" || document.Region != "fr-par" {
		t.Errorf("the plan is for %+v", document)
	}
	if document.Counts["replace"] != 1 || len(document.Counts) != 5 {
		t.Errorf("counts are %v, want five, one to replace", document.Counts)
	}
	if len(document.Steps) != len(plan.Steps) {
		t.Errorf("%d steps, want %d", len(document.Steps), len(plan.Steps))
	}
}
