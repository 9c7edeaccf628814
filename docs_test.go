package fairway_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
)

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// documents returns the paths of all Markdown files.
func documents(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata" || d.Name() == "bin") {
			return fs.SkipDir
		}
		if err == nil && strings.HasSuffix(path, ".md") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

var (
	fence = regexp.MustCompile("(?ms)^```.*?^```")
	link  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
)

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	for _, file := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(read(t, file), ""), -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), target)); err != nil {
				t.Errorf("%s: the link %s leads nowhere", file, m[1])
			}
		}
	}
}

func TestEveryPageCanBeReached(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	var visit func(file string)
	visit = func(file string) {
		if seen[file] || !strings.HasSuffix(file, ".md") {
			return
		}
		seen[file] = true
		for _, m := range link.FindAllStringSubmatch(read(t, file), -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if next := filepath.Join(filepath.Dir(file), target); target != "" && !strings.Contains(target, "://") {
				if _, err := os.Stat(next); err == nil {
					visit(next)
				}
			}
		}
	}
	visit("README.md")
	for _, file := range documents(t) {
		if strings.HasPrefix(file, "docs/") && !seen[file] {
			t.Errorf("no link leads from README.md to %s", file)
		}
	}
}

func TestContributingHasALineForEveryPackage(t *testing.T) {
	t.Parallel()
	text := read(t, "CONTRIBUTING.md")
	known := map[string]bool{}
	for _, p := range list(t) {
		name, _ := own(p.ImportPath)
		if strings.Contains("/"+name+"/", "/testdata/") {
			continue
		}
		if name == "" {
			name = "."
		}
		known[name] = true
		if !strings.Contains(text, "\n| `"+name+"` |") {
			t.Errorf("CONTRIBUTING.md has no line for package %s", name)
		}
	}
	section, _, _ := strings.Cut(text, "\n## Make")
	for _, m := range regexp.MustCompile("\n\\| `([^`]+)` \\|").FindAllStringSubmatch(section, -1) {
		if !known[m[1]] {
			t.Errorf("CONTRIBUTING.md has a line for %s, which is no package", m[1])
		}
	}
}

// eventTypes returns the values of the constants Type… of event.go.
func eventTypes(t *testing.T) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 || !strings.HasPrefix(v.Names[0].Name, "Type") {
			return true
		}
		if lit, ok := v.Values[0].(*ast.BasicLit); ok {
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			types = append(types, text)
		}
		return true
	})
	return types
}

func TestEventsAreDocumented(t *testing.T) {
	t.Parallel()
	text := read(t, "docs/reference/events.md")
	types := eventTypes(t)
	if len(types) < 20 {
		t.Fatalf("only %d event types were found in event.go", len(types))
	}
	for _, typ := range types {
		if !strings.Contains(text, "\n| `"+typ+"` |") {
			t.Errorf("events.md has no row for %s", typ)
		}
	}
	for _, s := range []any{fairway.Event{}, fairway.EventData{}} {
		for i := range reflect.TypeOf(s).NumField() {
			name, _, _ := strings.Cut(reflect.TypeOf(s).Field(i).Tag.Get("json"), ",")
			if !strings.Contains(text, "`"+name+"`") {
				t.Errorf("events.md does not explain the field %s", name)
			}
		}
	}
}

func TestRoutesAreDocumented(t *testing.T) {
	t.Parallel()
	text := read(t, "docs/reference/api.md")
	routes := regexp.MustCompile(`(?m)^\t\t"([a-z]+(?:/[^"]*)?)":`).FindAllStringSubmatch(read(t, "api/server.go"), -1)
	if len(routes) < 15 {
		t.Fatalf("only %d routes were found in api/server.go", len(routes))
	}
	for _, m := range routes {
		path := strings.NewReplacer("{s}", "{service}", "...", "").Replace(m[1])
		if !strings.Contains(text, "/api/v1/"+path+"`") {
			t.Errorf("api.md has no row for /api/v1/%s", path)
		}
	}
}

func TestKeysOfTestFilesAreDocumented(t *testing.T) {
	t.Parallel()
	text := read(t, "docs/reference/tests.md")
	keys := regexp.MustCompile(`(?:\{|latency\()"([a-zA-Z0-9]+)", `).FindAllStringSubmatch(read(t, "testrun/parse.go"), -1)
	if len(keys) < 20 {
		t.Fatalf("only %d keys were found in testrun/parse.go", len(keys))
	}
	for _, m := range keys {
		if !strings.Contains(text, "`"+m[1]+"`") && !strings.Contains(text, "."+m[1]+"`") {
			t.Errorf("tests.md does not explain the key %s", m[1])
		}
	}
}
