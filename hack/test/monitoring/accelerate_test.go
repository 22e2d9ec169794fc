package monitoring_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"egress.scw/hack/test/monitoring"
)

func TestAccelerate(t *testing.T) {
	for expression, want := range map[string]string{
		`up == 0`:                             `up == 0`,
		`rate(a_total{b="c"}[10m]) > 1`:       `rate(a_total{b="c"}[10s]) > 1`,
		`time() - a > 120`:                    `time() - a > 120`,
		`max_over_time(a[1d]) == 1`:           `max_over_time(a[24m]) == 1`,
		`sum by (b) (a unless a offset 1h)`:   `sum by (b) (a unless a offset 1m)`,
		`increase(a[30s] offset 5m) / 60 > 0`: `increase(a[500ms] offset 5s) / 60 > 0`,
	} {
		group := monitoringv1.RuleGroup{Rules: []monitoringv1.Rule{
			{Alert: "A", Expr: intstr.FromString(expression), For: new(monitoringv1.Duration("5m"))},
			{Alert: "B", Expr: intstr.FromString(expression)},
		}}
		got, err := monitoring.Accelerate(group, 60)
		if err != nil {
			t.Fatal(err)
		}
		wanted := monitoringv1.RuleGroup{Rules: []monitoringv1.Rule{
			{Alert: "A", Expr: intstr.FromString(want), For: new(monitoringv1.Duration("5000ms"))},
			{Alert: "B", Expr: intstr.FromString(want)},
		}}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", expression, diff)
		}
		if group.Rules[0].Expr.String() != expression {
			t.Errorf("the group that was given has changed: %v", group.Rules[0])
		}
	}
}

func TestAccelerateRefuses(t *testing.T) {
	for _, rule := range []monitoringv1.Rule{
		{Expr: intstr.FromString("max_over_time(rate(a[5m])[1h:1m])")},
		{Expr: intstr.FromString("a +")},
		{Expr: intstr.FromString("a"), For: new(monitoringv1.Duration("1d"))},
	} {
		if got, err := monitoring.Accelerate(monitoringv1.RuleGroup{Rules: []monitoringv1.Rule{rule}}, 60); err == nil {
			t.Errorf("%v: no error: %v", rule, got)
		}
	}
}
