package chart_test

import (
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/cel/environment"
)

// An API server accepts only expressions that the version before it can
// compile, too. The oldest version is that of Chart.yaml.
func TestGuardsCompile(t *testing.T) {
	for kubernetes, previous := range map[string]*version.Version{
		"v1.30.0": version.MajorMinor(1, 29),
		"v1.31.0": version.MajorMinor(1, 30),
		"v1.37.2": version.MajorMinor(1, 36),
	} {
		t.Run(kubernetes, func(t *testing.T) {
			r, err := installOn(t, kubernetes, allGuards)
			if err != nil {
				t.Fatal(err)
			}
			for name, g := range guards(t, r) {
				requireCompiled(t, name, g.policy.Spec, environment.MustBaseEnvSet(previous))
			}
		})
	}
}

func requireCompiled(t *testing.T, name string, spec admissionregistrationv1.ValidatingAdmissionPolicySpec, base *environment.EnvSet) {
	t.Helper()
	compiler, err := cel.NewCompositedCompiler(base)
	if err != nil {
		t.Fatal(err)
	}
	variables := cel.OptionalVariableDeclarations{HasAuthorizer: true}
	compile := func(accessor cel.ExpressionAccessor) {
		if result := compiler.CompileCELExpression(accessor, variables, environment.NewExpressions); result.Error != nil {
			t.Errorf("%s: %s: %v", name, accessor.GetExpression(), result.Error)
		}
	}
	// Conditions are compiled before the variables: they cannot refer to them.
	for i := range spec.MatchConditions {
		compile((*matchconditions.MatchCondition)(&spec.MatchConditions[i]))
	}
	for _, variable := range spec.Variables {
		result := compiler.CompileAndStoreVariable(&validating.Variable{Name: variable.Name, Expression: variable.Expression}, variables, environment.NewExpressions)
		if result.Error != nil {
			t.Errorf("%s: variable %s: %v", name, variable.Name, result.Error)
		}
	}
	for _, validation := range spec.Validations {
		compile(&validating.ValidationCondition{Expression: validation.Expression})
	}
}
