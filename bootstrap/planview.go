package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"egress.scw/bootstrap/stack"
)

// planDocument is the JSON form of a plan.
type planDocument struct {
	Name    string `json:"name"`
	Project string `json:"project"`
	Zone    string `json:"zone"`
	Region  string `json:"region"`
	// Counts are the numbers of steps by action; a replacement counts once.
	Counts map[stack.Action]int `json:"counts"`
	Steps  []*stack.Step        `json:"steps"`
	// Machines are the proxy machines of egress.yaml, as they report themselves.
	Machines []machineStatus `json:"machines,omitempty"`
	// Postponed are the replacements of machines that the next runs make.
	Postponed []*stack.Step `json:"postponed,omitempty"`
}

func newPlanDocument(spec stack.Spec, plan *stack.Plan) planDocument {
	document := planDocument{
		Name: spec.Name, Project: spec.Project, Zone: spec.Zone, Region: spec.Region,
		Counts: plan.Count(), Steps: plan.Steps, Postponed: plan.Postponed,
	}
	for _, action := range []stack.Action{stack.Create, stack.Update, stack.Replace, stack.Delete, stack.Drain} {
		document.Counts[action] += 0 // so that every action has a number
	}
	if document.Steps == nil {
		document.Steps = []*stack.Step{}
	}
	return document
}

// planTable is the readable form of a plan.
func planTable(spec stack.Spec, plan *stack.Plan, file string, colours paint) string {
	if plan.Empty() {
		if plan.Graph == nil {
			return fmt.Sprintf("Nothing to do: no resource of %s exists (project %s, %s).\n", spec.Name, spec.Project, spec.Zone)
		}
		return fmt.Sprintf("Nothing to do: everything at Scaleway matches %s.\n", file)
	}
	var text strings.Builder
	text.WriteString(planHeading(spec, plan) + "\n\n")
	var rows []planRow
	for _, step := range plan.Steps {
		if !step.ReplacedResource() {
			rows = append(rows, newPlanRow(step))
		}
	}
	widthOf := func(cell func(planRow) string) int {
		width := 0
		for _, row := range rows {
			width = max(width, utf8.RuneCountInString(cell(row)))
		}
		return width
	}
	keys, names := widthOf(func(r planRow) string { return r.key }), widthOf(func(r planRow) string { return r.name })
	for _, row := range rows {
		text.WriteString(row.text(keys, names, colours))
	}
	if passing := handovers(plan); len(passing) > 0 {
		text.WriteString("\n" + colours.in(yellow, "Closed until NetworkPolicies no longer admit the former tenant's pods:") + "\n")
		for _, port := range passing {
			text.WriteString("  " + port + "\n")
		}
	}
	if len(plan.Postponed) > 0 {
		text.WriteString("\n" + colours.in(yellow, "Replaced by the next runs, one each, when sidecars trust the machine before it (upgrade of the chart):") + "\n")
		for _, step := range plan.Postponed {
			text.WriteString("  " + stepName(step) + "\n")
		}
	}
	if lost := losses(plan); len(lost) > 0 {
		text.WriteString("\n" + colours.in(red, "Lost by this plan:") + "\n")
		for _, loss := range lost {
			text.WriteString("  " + loss + "\n")
		}
	}
	return text.String()
}

func planHeading(spec stack.Spec, plan *stack.Plan) string {
	count := plan.Count()
	at := fmt.Sprintf("%s (project %s, %s)", spec.Name, spec.Project, spec.Zone)
	if plan.Graph == nil {
		return fmt.Sprintf("Plan to destroy %s: %d to delete", at, count[stack.Delete])
	}
	return fmt.Sprintf("Plan for %s: %d to create, %d to change, %d to replace, %d to delete",
		at, count[stack.Create], count[stack.Update], count[stack.Replace], count[stack.Delete])
}

// planRow is the row of a step.
type planRow struct {
	sign, colour string
	key, name    string
	detail       []string // in parts; lines break between parts
	below        []string // one line each
}

const (
	// detailWidth is the width at which the last column breaks.
	detailWidth = 60
	// signWidth is the width of the longest sign.
	signWidth = len("-/+")
)

func newPlanRow(step *stack.Step) planRow {
	row := planRow{key: keyText(step.Kind, step.Role, step.ResourceID), name: step.Name}
	switch step.Action {
	case stack.Create:
		row.sign, row.colour = "+", green
		row.detail = newDetails(step)
		if step.Temporary {
			row.detail = temporaryDetails(step)
		}
		row.detail = append(row.detail, afterDetails(step)...)
	case stack.Update:
		row.sign, row.colour = "~", yellow
		row.detail = afterDetails(step)
		row.below = changeLines(step.Changes)
	case stack.Replace:
		row.sign, row.colour = "-/+", red
		row.detail = []string{"(replaced: " + strings.Join(fixedReasons(step.Changes), "; ") + ")"}
		row.detail = append(row.detail, afterDetails(step)...)
		row.below = changeLines(step.Changes)
	case stack.Delete:
		row.sign, row.colour = "-", red
		row.detail = deletedDetails(step)
	case stack.Drain:
		row.sign, row.colour = ">", yellow
		row.detail = []string{"leaves the Services before it is taken away"}
		if len(step.After) > 0 {
			row.detail = append(row.detail, "when "+strings.Join(step.After, " and ")+" serves")
		}
	}
	return row
}

// afterDetails names the machines that must serve before a step begins.
func afterDetails(step *stack.Step) []string {
	if len(step.After) == 0 {
		return nil
	}
	return []string{"when " + strings.Join(step.After, " and ") + " serves"}
}

// temporaryDetails describes a step that makes something for the time in which the proxy is
// replaced.
func temporaryDetails(step *stack.Step) []string {
	switch attachment, ok := step.Resource().(*stack.Attachment); {
	case ok:
		return []string{"to " + attachment.Server.Name + ", temporary"}
	case step.Kind == stack.KindServer:
		return append([]string{"temporary, while the proxy is replaced"}, newDetails(step)...)
	default:
		return []string{"temporary"}
	}
}

func (r planRow) text(keys, names int, colours paint) string {
	margin := strings.Repeat(" ", 2+signWidth+1+keys+2+names+2)
	lead := "  " + colours.in(r.colour, fmt.Sprintf("%-*s", signWidth, r.sign)) + fmt.Sprintf(" %-*s  %-*s  ", keys, r.key, names, r.name)
	var text strings.Builder
	for i, line := range fold(r.detail) {
		if i > 0 {
			lead = margin
		}
		text.WriteString(strings.TrimRight(lead+line, " ") + "\n")
	}
	for _, line := range r.below {
		text.WriteString(strings.Repeat(" ", 2+signWidth+3) + line + "\n")
	}
	return text.String()
}

// fold joins parts by commas, in lines of detailWidth. There is at least one line.
func fold(parts []string) []string {
	lines := []string{""}
	for i, part := range parts {
		if i < len(parts)-1 {
			part += ","
		}
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = part
		case utf8.RuneCountInString(*last)+1+utf8.RuneCountInString(part) <= detailWidth:
			*last += " " + part
		default:
			lines = append(lines, part)
		}
	}
	return lines
}

// keyText names the kind and the role of a resource. A role that is only the ID
// is left out.
func keyText(kind stack.Kind, role, id string) string {
	if role == id {
		role = ""
	}
	return stack.Key{Kind: kind, Role: role}.String()
}

// idForm is the form of Scaleway's IDs.
var idForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// newDetails describes a resource to create. It leaves out fields that are off,
// that are not known yet, and that are IDs or hashes.
func newDetails(step *stack.Step) []string {
	var details []string
	for _, change := range step.Changes {
		switch {
		case step.Kind == stack.KindUserData:
			details = append(details, change.Field)
		case slices.Contains([]string{stack.Unknown, "none", "off", "no"}, change.To), idForm.MatchString(change.To):
		default:
			details = append(details, change.Field+" "+change.To)
		}
	}
	return details
}

// deletedDetails identifies a resource to delete, as there may be several of the
// same name, and states the reason.
func deletedDetails(step *stack.Step) []string {
	details := []string{step.Reason}
	if step.ResourceID != "" { // not made by this plan
		details = append(details, "ID "+step.ResourceID)
	}
	details = append(details, afterDetails(step)...)
	if address, ok := step.Resource().(*stack.FlexibleIP); ok && address.Address.IsValid() {
		details = append([]string{address.Address.String()}, details...)
	}
	return details
}

func changeLines(changes []stack.Change) []string {
	lines := make([]string, 0, len(changes))
	for _, change := range changes {
		lines = append(lines, changeLine(change))
	}
	return lines
}

func changeLine(change stack.Change) string {
	text := change.Field + ": "
	switch {
	case change.To == stack.Unknown:
		text += change.To
	case change.Field == "text":
		// A text is described by the lines that only one side has.
		text += change.From + " removed, " + change.To + " added"
	case change.From == "":
		text += "new, " + change.To
	case change.To == "":
		text += change.From + ", removed"
	default:
		text += change.From + " → " + change.To
	}
	return text
}

// fixedReasons returns why changes cannot be made in place, each reason once.
func fixedReasons(changes []stack.Change) []string {
	var reasons []string
	for _, change := range changes {
		if change.Fixed != "" && !slices.Contains(reasons, change.Fixed) {
			reasons = append(reasons, change.Fixed)
		}
	}
	return reasons
}

// handovers describe the ports of a plan that pass from one tenant to another.
func handovers(plan *stack.Plan) []string {
	var passing []string
	for _, step := range plan.Steps {
		for _, change := range step.Changes {
			if step.Kind == stack.KindUserData && strings.HasPrefix(change.Field, "port ") {
				port := fmt.Sprintf("%s of the proxy, from %s to %s", change.Field, change.From, change.To)
				if !slices.Contains(passing, port) { // each machine has it
					passing = append(passing, port)
				}
			}
		}
	}
	return passing
}

// losses describe what is lost for good by the deletions and replacements of a
// plan.
func losses(plan *stack.Plan) []string {
	var lost []string
	for _, step := range plan.Steps {
		if loss := step.Loss(); loss != "" {
			lost = append(lost, stepName(step)+": "+loss)
		}
	}
	return lost
}
