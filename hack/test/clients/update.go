package clients

import (
	"os"
	"strings"

	"egress.scw/hack/test/clients/matrix"
)

// writeDeviations replaces the deviations of a row's file, which are its end.
func writeDeviations(file string, deviations matrix.Deviations) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, _, _ := strings.Cut(string(text), "deviations:\n")
	return os.WriteFile(file, []byte(head+deviations.YAML()), 0o644)
}
