#!/bin/bash
# cel-crd-policy.sh: rules that are written for a custom resource's definition meet
# ValidatingAdmissionPolicy.
#
# Versions: k8s.io/apiserver v0.37.2 and k8s.io/apiextensions-apiserver v0.37.2, the
# code with which the API server evaluates policies and definitions.
#
# Expected: the API's documentation of a policy's "expression" repeats that of a
# definition's "rule": a field "rate-limit" is written rate__dash__limit, "namespace" is
# written __namespace__, and lists of type "set" are equal in whatever order. So a rule
# that is right in a definition can be moved to a policy.
# Happens: a policy's object has no schema when it is evaluated
# (pkg/admission/conversion.go: LazyObject.CELValue gives a plain map), so its fields
# have their own names alone, and lists are compared in order. The type checking of the
# same policy has the schema (validating/typechecking.go: declType), with the escaped
# names. So the documented spelling passes type checking and is an error for each
# object, and object.spec["rate-limit"], which works, is warned of in
# status.typeChecking. Only dyn(object.spec)["rate-limit"] and object.spec.namespace,
# which the documentation does not have, are right in all three.
# Matters: with failurePolicy Fail a policy that was type-checked refuses every object
# of its kind. One that compares lists of old and new object takes another order for a
# change. Fields with such names are common: the namespace of a
# reference, anything with a dash.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export CGO_ENABLED=0

cat >main.go <<'GO'
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	definitioncel "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/admission"
	policycel "k8s.io/apiserver/pkg/admission/plugin/cel"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/common"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/cel/openapi"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// openAPI is the schema of the kind. The definition's rule is added to its spec.
const openAPI = `{"type": "object", "properties": {
	"apiVersion": {"type": "string"},
	"kind": {"type": "string"},
	"metadata": {"type": "object"},
	"spec": {"type": "object"%s, "properties": {
		"rate-limit": {"type": "integer"},
		"namespace": {"type": "string"},
		"domains": {"type": "array", "x-kubernetes-list-type": "set", "maxItems": 10, "items": {"type": "string", "maxLength": 253}}
	}}
}}`

const object = `{"apiVersion": "example.test/v1", "kind": "Limit", "metadata": {"name": "limit"},
	"spec": {"rate-limit": 50, "namespace": "orders", "domains": [%s]}}`

func main() {
	for _, rule := range []string{
		`self.__namespace__ == "orders"`,
		`self.namespace == "orders"`,
		`self.rate__dash__limit <= 100`,
		`self["rate-limit"] <= 100`,
		`dyn(self)["rate-limit"] <= 100`,
		`self.domains == oldSelf.domains`,
	} {
		expression := strings.NewReplacer("oldSelf", "oldObject.spec", "self", "object.spec").Replace(rule)
		fmt.Printf("%s\n  definition: %s; policy: %s, checked: %s\n", rule, definition(rule), policy(expression), checked(expression))
	}
}

// definition answers with a rule of the kind's definition.
func definition(rule string) string {
	added, err := json.Marshal(rule)
	check(err)
	var external apiextensionsv1.JSONSchemaProps
	check(json.Unmarshal(fmt.Appendf(nil, openAPI, fmt.Sprintf(`, "x-kubernetes-validations": [{"rule": %s}]`, added)), &external))
	var internal apiextensions.JSONSchemaProps
	check(apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(&external, &internal, nil))
	s, err := structural.NewStructural(&internal)
	check(err)
	validator := definitioncel.NewValidator(s, true, celconfig.PerCallLimit)
	errs, _ := validator.Validate(context.Background(), nil, s, value(`"a.test", "b.test"`), value(`"b.test", "a.test"`), celconfig.RuntimeCELCostBudget)
	switch {
	case len(errs) == 0:
		return "true"
	case strings.Contains(errs.ToAggregate().Error(), "failed rule"):
		return "false"
	default:
		return "error"
	}
}

// validation is an expression of a policy.
type validation string

func (v validation) GetExpression() string    { return string(v) }
func (v validation) ReturnTypes() []*cel.Type { return []*cel.Type{cel.BoolType} }

// policy answers with a validation of a policy.
func policy(text string) string {
	compiler := policycel.NewConditionCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	evaluator := compiler.CompileCondition([]policycel.ExpressionAccessor{validation(text)}, policycel.OptionalVariableDeclarations{}, environment.StoredExpressions)
	results, _, err := evaluator.ForInput(context.Background(), &admission.VersionedAttributes{
		VersionedObject:    admission.NewLazyObject(&unstructured.Unstructured{Object: value(`"a.test", "b.test"`)}),
		VersionedOldObject: admission.NewLazyObject(&unstructured.Unstructured{Object: value(`"b.test", "a.test"`)}),
	}, &admissionv1.AdmissionRequest{}, policycel.OptionalVariableBindings{}, nil, celconfig.RuntimeCELCostBudget)
	check(err)
	if err := results[0].Error; err != nil {
		return "error"
	}
	return fmt.Sprint(results[0].EvalResult.Value())
}

// checked answers with the type checking of a policy: with its translation of the
// schema and in its environment.
func checked(text string) string {
	var s spec.Schema
	check(json.Unmarshal(fmt.Appendf(nil, openAPI, ""), &s))
	declaration := common.SchemaDeclType(&openapi.Schema{Schema: &s}, true).MaybeAssignTypeName("Limit")
	set, err := environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()).Extend(environment.VersionedOptions{
		IntroducedVersion: version.MajorMinor(1, 0),
		EnvOptions:        []cel.EnvOption{cel.Variable("object", declaration.CelType()), cel.Variable("oldObject", declaration.CelType())},
		DeclTypes:         []*apiservercel.DeclType{declaration},
	})
	check(err)
	if _, issues := set.StoredExpressionsEnv().Compile(text); issues.Err() != nil {
		return "warning"
	}
	return "no warning"
}

func value(domains string) map[string]any {
	var v map[string]any
	check(utiljson.Unmarshal(fmt.Appendf(nil, object, domains), &v)) // with integers, as the API server
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
{
	go mod init finding.test
	go get k8s.io/apiserver/pkg/admission/plugin/cel@v0.37.2 k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel@v0.37.2
	go mod tidy
	nice -n 5 go build -o run .
} >log 2>&1 || { cat log >&2 && exit 1; }
output=$(./run)
echo "$output"

if [ "$output" != 'self.__namespace__ == "orders"
  definition: true; policy: error, checked: no warning
self.namespace == "orders"
  definition: true; policy: true, checked: no warning
self.rate__dash__limit <= 100
  definition: true; policy: error, checked: no warning
self["rate-limit"] <= 100
  definition: error; policy: true, checked: warning
dyn(self)["rate-limit"] <= 100
  definition: true; policy: true, checked: no warning
self.domains == oldSelf.domains
  definition: true; policy: false, checked: no warning' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
