package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"egress.scw/webhook/kubectl-egress/table"
)

// Values of the flag --output. Without it, the output is a text.
const (
	outputWide  = "wide"
	outputJSON  = "json"
	outputYAML  = "yaml"
	outputJUnit = "junit"
)

// addOutput adds the flag --output to a command that has these formats.
func (a *app) addOutput(command *cobra.Command, formats ...string) {
	command.Flags().StringVarP(&a.output, "output", "o", "", "`format` of the output: "+strings.Join(formats, ", ")+"; a text without it")
	_ = command.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)) // fails only for an undefined flag
	command.PreRunE = func(*cobra.Command, []string) error {
		if a.output != "" && !slices.Contains(formats, a.output) {
			return fmt.Errorf("--output: is %q, must be one of %s", a.output, strings.Join(formats, ", "))
		}
		return nil
	}
}

// paint returns the colours of the standard output.
func (a *app) paint() table.Paint {
	return table.Paint(a.terminal && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb")
}

// print prints a value in the format of --output, or else its text, in which no value of an
// object can control the terminal.
func (a *app) print(value any, text func(paint table.Paint, wide bool) string) error {
	switch a.output {
	case outputJSON:
		encoder := json.NewEncoder(a.stdout)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(value)
	case outputYAML:
		encoded, err := yaml.Marshal(value)
		if err != nil {
			return err
		}
		_, err = a.stdout.Write(encoded)
		return err
	}
	_, err := io.WriteString(a.stdout, table.Escape(text(a.paint(), a.output == outputWide)))
	return err
}

// answer prints a value, and returns errNegative if the answer is negative.
func (a *app) answer(negative bool, value any, text func(paint table.Paint, wide bool) string) error {
	if err := a.print(value, text); err != nil {
		return err
	}
	if negative {
		return errNegative
	}
	return nil
}
