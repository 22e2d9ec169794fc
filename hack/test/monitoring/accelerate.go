package monitoring

import (
	"fmt"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/prometheus/promql/parser"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Accelerate returns a group of alert rules with each duration divided by the factor:
// for, and the ranges and offsets in expressions. The rest of the expressions stays as it
// is, so that numbers in them keep their meaning: seconds in a comparison, or a rate in a
// second. It is for a Prometheus whose scrapes are as much closer together.
func Accelerate(group monitoringv1.RuleGroup, factor int) (monitoringv1.RuleGroup, error) {
	accelerated := *group.DeepCopy()
	for i := range accelerated.Rules {
		rule := &accelerated.Rules[i]
		expression, err := accelerateExpression(rule.Expr.String(), factor)
		if err != nil {
			return accelerated, fmt.Errorf("%s: %w", rule.Alert, err)
		}
		rule.Expr = intstr.FromString(expression)
		if rule.For == nil {
			continue
		}
		lasts, err := time.ParseDuration(string(*rule.For))
		if err != nil {
			return accelerated, fmt.Errorf("%s: for: %w", rule.Alert, err)
		}
		rule.For = new(monitoringv1.Duration(fmt.Sprintf("%dms", (lasts / time.Duration(factor)).Milliseconds())))
	}
	return accelerated, nil
}

func accelerateExpression(expression string, factor int) (string, error) {
	parsed, err := parser.ParseExpr(expression)
	if err != nil {
		return "", err
	}
	divisor := time.Duration(factor)
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		switch node := node.(type) {
		case *parser.MatrixSelector:
			node.Range /= divisor
		case *parser.VectorSelector:
			node.OriginalOffset /= divisor
		case *parser.SubqueryExpr:
			err = fmt.Errorf("a subquery, which is not known here: %s", node)
		}
		return nil
	})
	return parsed.String(), err
}
