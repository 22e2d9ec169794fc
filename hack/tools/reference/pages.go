package main

import (
	"context"
	"fmt"
	"strings"

	"egress.scw/hack/test/clients/matrix"
)

// Folders of the packages that pages are made of.
const (
	namesPackage    = "webhook/api/names"
	settingsPackage = "webhook/settings"
	configPackage   = "bootstrap/config"
	demoPackage     = "demo"
)

func apiPage(_ context.Context, r *repository) (string, error) {
	schema, err := r.readCRD()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("# EgressTenant\n\n" + generated)
	b.WriteString("`egress.scw/v1alpha1`, cluster-scoped, short name `et`. The chart's `tenants` and the tenants of `egress.yaml` have\n")
	b.WriteString("the fields of `spec`, and `name` in place of `metadata.name`.\n")
	for _, part := range []string{"spec", "status"} {
		property := schema.Properties[part]
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", part, describe(property.Description, part))
		if text := bounds(&property, false); text != "" {
			fmt.Fprintf(&b, "Of the whole: %s.\n\n", text)
		}
		t := newTable("Field", "Type", "Bounds", "Meaning")
		for _, row := range rows(&property, part+".") {
			t.row(code(row.path), row.kind, row.bounds, row.text)
		}
		b.WriteString(t.String())
	}
	return b.String(), nil
}

func clientsPage(_ context.Context, _ *repository) (string, error) {
	clients, err := matrix.Clients()
	if err != nil {
		return "", err
	}
	return matrix.Page(clients), nil
}

func egressPage(_ context.Context, r *repository) (string, error) {
	return r.filePage("egress.yaml", "The file that `bootstrap` reads. [egress.example.yaml](../../bootstrap/egress.example.yaml) has every field with a value.",
		configPackage, "Egress")
}

func settingsPage(_ context.Context, r *repository) (string, error) {
	return r.filePage("Settings of the webhook", "The file that the webhook reads at its start. The chart writes it from its values, into a ConfigMap.",
		settingsPackage, "File")
}

// filePage describes a configuration file by the Go type that it is read into.
func (r *repository) filePage(title, introduction, dir, typeName string) (string, error) {
	fields, err := r.fields(dir, typeName)
	if err != nil {
		return "", err
	}
	if len(fields) == 0 {
		return "", fmt.Errorf("%s has no type %s with fields", dir, typeName)
	}
	t := newTable("Field", "Type", "Meaning")
	for _, f := range fields {
		t.row(code(f.path), f.kind, f.text)
	}
	return "# " + title + "\n\n" + generated + introduction + "\n\n" + t.String(), nil
}

func flagsPage(ctx context.Context, r *repository) (string, error) {
	var b strings.Builder
	b.WriteString("# Commands and flags\n\n" + generated)
	b.WriteString("The programs print these pages with `--help`.\n")
	for _, p := range []program{{"bootstrap", "bootstrap"}, {"kubectl egress", "webhook/kubectl-egress"}, {"webhook", "webhook"}} {
		helps, err := r.helps(ctx, p)
		if err != nil {
			return "", err
		}
		for _, h := range helps {
			fmt.Fprintf(&b, "\n## %s\n\n```text\n%s\n```\n", h.command, h.text)
		}
	}
	return b.String(), nil
}

func metricsPage(_ context.Context, r *repository) (string, error) {
	var b strings.Builder
	b.WriteString("# Metrics\n\n" + generated)
	b.WriteString("[Operations](../operations.md#metrics-and-logs) describes where they are scraped, and which of them are worth an alert.\n")
	for _, declared := range []struct{ folder, prefix string }{{namesPackage, "Metric"}, {demoPackage, "metric"}} {
		source, err := r.parse(declared.folder)
		if err != nil {
			return "", err
		}
		for _, group := range source.constants(declared.prefix) {
			fmt.Fprintf(&b, "\n%s\n\n", source.resolve(group.text))
			t := newTable("Metric", "Meaning")
			for _, c := range group.constants {
				t.row(code(c.value), source.resolve(withoutName(c.text, c.name, "")))
			}
			b.WriteString(t.String())
		}
	}
	return b.String(), nil
}

func reasonsPage(_ context.Context, r *repository) (string, error) {
	names, err := r.parse(namesPackage)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("# Conditions and reasons\n\n" + generated)
	b.WriteString("Conditions of an EgressTenant, events, log lines, metrics and admission responses share the reasons.\n")
	for _, prefix := range []string{"Condition", "Reason"} {
		for _, group := range names.constants(prefix) {
			fmt.Fprintf(&b, "\n## %s\n\n", strings.TrimSuffix(group.text, "."))
			t := newTable(prefix, "Meaning", "Remedy")
			for _, c := range group.constants {
				meaning, remedy, _ := strings.Cut(withoutName(c.text, c.name, c.value), " Remedy: ")
				t.row(code(c.value), meaning, capitalise(remedy))
			}
			b.WriteString(t.String())
		}
	}
	return b.String(), nil
}
