package docs_test

import (
	"encoding/json"
	"go/ast"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/settings"
)

// Every name in the product's own domain is a name of the API, and the README
// names them all.
func TestLabelsAndAnnotations(t *testing.T) {
	var known []string
	for _, file := range goFiles(t, "webhook/api/names") {
		for name := range constants(file, "Label", "Annotation", "Finalizer") {
			if strings.HasPrefix(name, "egress.scw/") {
				known = append(known, name)
			}
		}
	}
	if !slices.Contains(known, names.LabelTenant) {
		t.Fatalf("%s is not among the names found: %q", names.LabelTenant, known)
	}
	named := regexp.MustCompile(`egress\.scw/[\w-]+`)
	// kubectl prints objects as RESOURCE.GROUP/NAME.
	plain := strings.NewReplacer(`\.`, ".", "egresstenant.egress.scw/", "")
	for _, p := range documentation(t) {
		for _, name := range named.FindAllString(plain.Replace(p.text), -1) {
			name = strings.TrimSuffix(name, "-") // kubectl label NAME-, which removes it
			_, folder, _ := strings.Cut(name, "/")
			if name == v1alpha1.GroupVersion.String() || slices.Contains(known, name) {
				continue
			}
			if !exists(t, folder) && !exists(t, "webhook/"+folder) { // a package, or an image of the same name
				t.Errorf("%s: the API knows no %s", p.path, name)
			}
		}
	}
	readme := read(t, "README.md")
	for _, name := range known {
		if !strings.Contains(readme, "`"+name+"`") {
			t.Errorf("README.md does not explain %s", name)
		}
	}
}

// constants returns the values of a file's string constants whose names have
// one of the prefixes.
func constants(file *ast.File, prefixes ...string) map[string]bool {
	values := map[string]bool{}
	for _, declaration := range file.Decls {
		ast.Inspect(declaration, func(node ast.Node) bool {
			spec, isSpec := node.(*ast.ValueSpec)
			if !isSpec {
				return true
			}
			for i, value := range spec.Values {
				begins := func(prefix string) bool { return strings.HasPrefix(spec.Names[i].Name, prefix) }
				if isString(value) && slices.ContainsFunc(prefixes, begins) {
					values[text(value)] = true
				}
			}
			return false
		})
	}
	return values
}

// A flag by itself, or after the name of the webhook or of bootstrap, exists in
// that program or in kubectl egress, unless a command on the same page shows that it
// belongs to another one. Each flag of the three programs is explained.
func TestFlags(t *testing.T) {
	flags := flagsOf(t, packageFiles(t, "webhook"))
	provisioning := flagsOf(t, goFiles(t, "bootstrap"))
	plugin := flagsOf(t, packageFiles(t, "webhook/kubectl-egress"))
	shown := regexp.MustCompile(`--[a-z][a-z-]+`)
	for _, p := range documentation(t) {
		for _, code := range p.spans(t) {
			program, _, _ := strings.Cut(code, " ")
			if !strings.HasPrefix(code, "--") && program != "webhook" && program != "bootstrap" {
				continue
			}
			for _, flag := range shown.FindAllString(code, -1) {
				known := flag == "--help" || strings.Contains(p.commands(t), flag) ||
					(program != "bootstrap" && flags[flag]) || (program != "webhook" && provisioning[flag]) ||
					(strings.HasPrefix(code, "--") && plugin[flag])
				if !known {
					t.Errorf("%s: there is no flag %s", p.path, flag)
				}
			}
		}
	}
	for file, flags := range map[string]map[string]bool{"docs/bootstrap.md": provisioning, "docs/kubectl.md": plugin} {
		manual := read(t, file)
		for flag := range flags {
			if !strings.Contains(manual, flag) {
				t.Errorf("%s does not explain %s", file, flag)
			}
		}
	}
	operations := page{"docs/operations.md", read(t, "docs/operations.md")}
	explained := operations.column(t, "Flag")
	for flag := range flags {
		if !slices.Contains(explained, flag) {
			t.Errorf("%s does not explain %s", operations.path, flag)
		}
	}
}

// flagsOf returns the flags that the files of a program declare with pflag, including
// the dashes.
func flagsOf(t *testing.T, files []*ast.File) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, file := range files {
		ast.Inspect(file, func(node ast.Node) bool {
			call, isCall := node.(*ast.CallExpr)
			if !isCall || len(call.Args) < 3 {
				return true
			}
			function, isMethod := call.Fun.(*ast.SelectorExpr)
			name, isLiteral := call.Args[1].(*ast.BasicLit)
			if isMethod && isLiteral && (strings.HasSuffix(function.Sel.Name, "Var") || strings.HasSuffix(function.Sel.Name, "VarP")) {
				if text, err := strconv.Unquote(name.Value); err == nil {
					names["--"+text] = true
				}
			}
			return true
		})
	}
	if len(names) == 0 {
		t.Fatal("a program has no flags: the test searches in the wrong way")
	}
	return names
}

// Every field of the webhook's settings file is explained, and each that is
// explained exists.
func TestSettings(t *testing.T) {
	file := settings.Default()
	file.DNS.Pods[0].PodLabels = nil // the names of labels are not fields
	encoded, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(encoded, &tree); err != nil {
		t.Fatal(err)
	}
	delete(tree, "apiVersion")
	delete(tree, "kind")
	fields := fieldPaths("", tree)
	operations := page{"docs/operations.md", read(t, "docs/operations.md")}
	explained := operations.column(t, "Setting")
	for _, field := range fields {
		if !slices.Contains(explained, field) {
			t.Errorf("%s does not explain the setting %s", operations.path, field)
		}
	}
	for _, field := range explained {
		if !slices.Contains(fields, field) {
			t.Errorf("%s: there is no setting %s", operations.path, field)
		}
	}
}

// fieldPaths returns the paths of the fields that contain no further fields.
func fieldPaths(prefix string, tree map[string]any) []string {
	var paths []string
	for name, value := range tree {
		if inner, isObject := value.(map[string]any); isObject {
			paths = append(paths, fieldPaths(prefix+name+".", inner)...)
		} else {
			paths = append(paths, prefix+name)
		}
	}
	return paths
}

// Metrics in the documentation exist, and each metric of ours is explained.
func TestMetrics(t *testing.T) {
	ours := regexp.MustCompile(`\begress_[a-z_]+\b`)
	declared := map[string]bool{}
	for _, folder := range []string{"webhook", "demo"} {
		for _, message := range messages(t, folder) {
			if ours.FindString(message) == message && message != "" {
				declared[message] = true
			}
		}
	}
	for _, name := range proxyMetrics(t) {
		declared[name] = true
	}
	explained := map[string]bool{}
	for _, p := range documentation(t) {
		for _, name := range ours.FindAllString(p.text, -1) {
			explained[name] = true
			if !declared[name] {
				t.Errorf("%s: there is no metric %s", p.path, name)
			}
		}
	}
	for name := range declared {
		if !explained[name] {
			t.Errorf("no page explains the metric %s", name)
		}
	}
}

// proxyMetrics are the metrics of the proxy's machine.
func proxyMetrics(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, file := range []string{"etc/mtail/egress-audit.mtail.tmpl", "etc/mtail/egress-sidecars.mtail", "usr/local/sbin/egress-sync", "usr/local/sbin/egress-sidecars"} {
		found := regexp.MustCompile(`\begress_proxy_\w+`).FindAllString(read(t, "cloudinit/rootfs/"+file), -1)
		if len(found) == 0 {
			t.Fatalf("%s has no metrics: the test reads the wrong file", file)
		}
		names = append(names, found...)
	}
	return names
}

// Reasons and conditions in tables of the documentation exist. The reference
// explains all of them, and operations.md each reason that has a remedy.
func TestReasons(t *testing.T) {
	reasons := map[string]bool{}
	for _, reason := range names.Reasons() {
		reasons[string(reason)] = true
	}
	conditions := map[string]bool{
		names.ConditionReady: true, names.ConditionPolicyApplied: true, names.ConditionGuarded: true, names.ConditionProxyReachable: true,
		names.ConditionServiceReady: true, names.ConditionSidecarReady: true,
	}
	for _, p := range documentation(t) {
		for _, reason := range p.column(t, "Reason") {
			if !reasons[reason] {
				t.Errorf("%s: the webhook knows no reason %s", p.path, reason)
			}
		}
		for _, condition := range p.column(t, "Condition") {
			if !conditions[condition] {
				t.Errorf("%s: there is no condition %s", p.path, condition)
			}
		}
	}

	reference := page{"docs/reference/reasons.md", read(t, "docs/reference/reasons.md")}
	requireNames(t, reference, "Reason", slices.Collect(maps.Keys(reasons)))
	requireNames(t, reference, "Condition", slices.Collect(maps.Keys(conditions)))

	remedied := withRemedy(reference)
	if len(remedied) == 0 || len(remedied) == len(reasons) {
		t.Errorf("%s has a remedy for %d of %d reasons: the test reads the wrong column", reference.path, len(remedied), len(reasons))
	}
	requireNames(t, page{"docs/operations.md", read(t, "docs/operations.md")}, "Reason", remedied)
}

// requireNames requires all names below a title in the page's tables.
func requireNames(t *testing.T, p page, title string, want []string) {
	t.Helper()
	explained := p.column(t, title)
	for _, name := range want {
		if !slices.Contains(explained, name) {
			t.Errorf("%s has no %s in a column %s", p.path, name, title)
		}
	}
}

// withRemedy returns the names in the first column of tables of three columns,
// Meaning and Remedy being the others, whose remedy is not empty.
func withRemedy(p page) []string {
	var found []string
	for line := range strings.Lines(p.text) {
		row, isRow := cells(line)
		if !isRow || len(row) != 3 || row[2] == "" {
			continue
		}
		if match := span.FindStringSubmatch(row[0]); match != nil { // neither the titles nor the line below them
			found = append(found, match[1])
		}
	}
	return found
}
