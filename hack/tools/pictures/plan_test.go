package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPlanPicture: the picture of the documents shows the plan that bootstrap prints.
func TestPlanPicture(t *testing.T) {
	const root = "../../.."
	plan, err := planOutput(t.Context(), root, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	picture, err := os.ReadFile(filepath.Join(root, folder, "bootstrap-plan.svg"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(picture), string(terminalSVG("$ bootstrap plan", plan))); diff != "" {
		t.Errorf("make pictures would change it, -picture +plan:\n%s", diff)
	}
}
