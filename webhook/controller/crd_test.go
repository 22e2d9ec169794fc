package controller

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"egress.scw/charts"
	"egress.scw/webhook/api/names"
)

// definitionAPI fails a number of times, and collects the applied objects.
func definitionAPI(t *testing.T, failures int, applied *[]string) client.Client {
	t.Helper()
	return fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Apply: func(_ context.Context, _ client.WithWatch, config runtime.ApplyConfiguration, options ...client.ApplyOption) error {
			var o client.ApplyOptions
			o.ApplyOptions(options)
			if o.FieldManager != names.FieldOwner || o.Force == nil || !*o.Force {
				t.Errorf("applied with %+v, want owner %s and force", o, names.FieldOwner)
			}
			text, err := json.Marshal(config)
			if err != nil {
				t.Error(err)
			}
			*applied = append(*applied, string(text))
			if len(*applied) <= failures {
				return errors.New("the API server is not available")
			}
			return nil
		},
	}).Build()
}

// definitionOf reads the definition, as if it were that of the API server. There is none
// if it is nil.
type definitionOf map[string]any

func (d definitionOf) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	if d == nil {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "customresourcedefinitions"}, key.Name)
	}
	object.(*unstructured.Unstructured).Object = d
	return nil
}

func (definitionOf) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return errors.New("not a read of the applier")
}

// TestCRDApplierLeavesANewerDefinition: a replica of before that leads in the middle of an
// upgrade takes no field away.
func TestCRDApplierLeavesANewerDefinition(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(spec map[string]any)
		want   int
	}{
		"the same":           {func(map[string]any) {}, 1},
		"older":              {func(spec map[string]any) { delete(spec, "nodePool") }, 1},
		"newer":              {func(spec map[string]any) { spec["later"] = map[string]any{"type": "string"} }, 0},
		"newer, in a list":   {func(spec map[string]any) { itemsOf(spec["clusterAccess"])["later"] = map[string]any{"type": "string"} }, 0},
		"of another history": {func(spec map[string]any) { delete(spec, "nodePool"); spec["later"] = map[string]any{} }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var present map[string]any
			if err := yaml.Unmarshal(charts.EgressTenantCRD, &present); err != nil {
				t.Fatal(err)
			}
			versions, _, _ := unstructured.NestedFieldNoCopy(present, "spec", "versions")
			spec, _, err := unstructured.NestedFieldNoCopy(versions.([]any)[0].(map[string]any), "schema", "openAPIV3Schema", "properties", "spec", "properties")
			if err != nil {
				t.Fatal(err)
			}
			test.change(spec.(map[string]any))
			var applied []string
			applier, err := NewCRDApplier(definitionAPI(t, 0, &applied), definitionOf(present), charts.EgressTenantCRD)
			if err != nil {
				t.Fatal(err)
			}
			if err := applier.Start(t.Context()); err != nil || len(applied) != test.want {
				t.Errorf("applied %d times, want %d (%v)", len(applied), test.want, err)
			}
		})
	}
}

func itemsOf(list any) map[string]any {
	return list.(map[string]any)["items"].(map[string]any)["properties"].(map[string]any)
}

func TestCRDApplierAppliesTheChartsCRD(t *testing.T) {
	t.Parallel()
	var applied []string
	applier, err := NewCRDApplier(definitionAPI(t, 0, &applied), definitionOf(nil), charts.EgressTenantCRD)
	if err != nil {
		t.Fatal(err)
	}
	if !applier.NeedLeaderElection() {
		t.Error("every replica would apply its own version")
	}
	if err := applier.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(applied) != 1 || !strings.Contains(applied[0], `"name":"egresstenants.egress.scw"`) || !strings.Contains(applied[0], `"noProxy"`) {
		t.Errorf("applied %q, want the definition once", applied)
	}
}

func TestCRDApplierRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var applied []string
		applier, err := NewCRDApplier(definitionAPI(t, 20, &applied), definitionOf(nil), charts.EgressTenantCRD)
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := applier.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(applied) != 21 {
			t.Errorf("applied %d times, want 21", len(applied))
		}
		if took := time.Since(begin); took < 10*time.Minute || took > 20*time.Minute {
			t.Errorf("20 tries took %s: they should end up a minute apart", took)
		}
	})
}

func TestCRDApplierStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var applied []string
		applier, err := NewCRDApplier(definitionAPI(t, 1<<30, &applied), definitionOf(nil), charts.EgressTenantCRD)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := applier.Start(ctx); err != nil {
			t.Errorf("a stopped leader returns an error: %v", err)
		}
	})
}

func TestNewCRDApplierRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ text, want string }{
		"not YAML":     {"{", "reading the embedded CustomResourceDefinition"},
		"empty":        {"", `has the kind "" and the name ""`},
		"another kind": {"kind: ConfigMap\nmetadata: {name: x}", `has the kind "ConfigMap" and the name "x"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := NewCRDApplier(nil, nil, []byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
		})
	}
}
