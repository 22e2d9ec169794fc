package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/bootstrap/config/strictyaml"
	"egress.scw/webhook/api/v1alpha1"
)

// Load decodes egress.yaml strictly, sets the defaults and validates the result.
// Load does not open files: the name of the file is used in errors, and to
// refuse outputs that would overwrite the file itself.
//
// The error is a *strictyaml.Error with all problems. If only values are wrong,
// and not the form of the file, the Egress is returned as well, so that the
// caller can check it further.
func Load(file string, data []byte) (*Egress, error) {
	decoder := strictyaml.Decoder{
		EmptyHint: "begin with apiVersion: " + apiVersion() + " and kind: " + KindEgress,
		Scalars:   []strictyaml.Scalar{strictyaml.ScalarOf(parseAddress), strictyaml.ScalarOf(parseCIDR)},
		Moved:     movedFields(),
	}
	egress := &Egress{}
	document := decoder.Decode(data, egress)
	if problems := wrongFile(document, egress); len(problems) > 0 {
		return nil, &strictyaml.Error{File: file, Problems: problems}
	}
	egress.SetDefaults()
	egress.unsetWrongRanges(document)
	document.AddInvalid(egress.Validate())
	document.AddInvalid(egress.Spec.Outputs.validateAgainst(file, field.NewPath("spec", "outputs")))
	if document.Malformed() {
		return nil, document.Err(file)
	}
	return egress, document.Err(file)
}

func apiVersion() string { return v1alpha1.GroupVersion.String() }

// wrongFile returns the problems of a file that holds something else: another
// kind, another version, or the former form of this one. Its other problems
// would only be consequences. A missing apiVersion or kind is added to the
// problems of the document instead.
func wrongFile(document *strictyaml.Document, egress *Egress) []strictyaml.Problem {
	var problems []strictyaml.Problem
	for _, each := range []struct{ name, is, want string }{
		{"apiVersion", egress.APIVersion, apiVersion()},
		{"kind", egress.Kind, KindEgress},
	} {
		switch {
		case each.is == each.want || document.Wrong(each.name):
		case each.is == "":
			document.AddProblem(each.name, "is required: write "+each.want)
		default:
			problems = append(problems, strictyaml.Problem{
				Line: document.Line(each.name), Field: each.name,
				Detail: fmt.Sprintf("must be %s, is %q: is it the right file?", each.want, each.is),
			})
		}
	}
	if problem := formerForm(document); len(problems) == 0 && problem != nil {
		problems = append(problems, *problem)
	}
	return problems
}

// formerFields are the fields below spec that the former form of egress.yaml had
// at the top level, beside name.
var formerFields = []string{
	"project", "region", "zone", "network", "gateway", "proxy", "cluster", "registry", "tenants", "outputs",
}

// movedFields are the fields of the former form, in a file that has spec already.
func movedFields() map[string]string {
	moved := map[string]string{
		"name":              "move it below metadata",
		"spec.name":         "move it below metadata",
		"spec.proxy.egress": "it is now called sourceAddress",
	}
	for _, name := range formerFields {
		moved[name] = "move it below spec"
	}
	return moved
}

// formerForm returns the problem of a file in the former form, which had all
// fields at the top level and no spec, and states where to move them.
func formerForm(document *strictyaml.Document) *strictyaml.Problem {
	var moves, below []string
	line := 0
	for _, name := range document.Fields() {
		switch {
		case name == "spec":
			return nil
		case name == "name":
			moves = append(moves, "name below metadata")
		case slices.Contains(formerFields, name) && !slices.Contains(below, name):
			below = append(below, name)
		default:
			continue
		}
		if line == 0 {
			line = document.Line(name)
		}
	}
	if len(below) > 0 {
		moves = append(moves, strings.Join(below, ", ")+" below spec")
	}
	if len(moves) == 0 {
		return nil
	}
	return &strictyaml.Problem{Line: line, Detail: "has the former form: move " + strings.Join(moves, ", and ")}
}

// unsetWrongRanges removes defaults in place of ranges that could not be parsed.
// Otherwise validation would report conflicts with ranges that the file does not
// contain.
func (e *Egress) unsetWrongRanges(document *strictyaml.Document) {
	c := e.Spec.Cluster
	if c == nil {
		return
	}
	if document.Wrong("spec.cluster.podCIDR") {
		c.PodCIDR = netip.Prefix{}
	}
	if document.Wrong("spec.cluster.serviceCIDR") {
		c.ServiceCIDR = netip.Prefix{}
	}
}
