package process

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
)

// refused asserts a refusal that contains the texts.
func refused(t *testing.T, err error, texts ...string) {
	t.Helper()
	if err == nil || fairway.KindOf(err) != fairway.KindRefused {
		t.Fatalf("got %v, want a refusal", err)
	}
	contains(t, err.Error(), texts...)
}

func TestInRoot(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	link := func(name, target string) { must(t, os.Symlink(target, filepath.Join(root, name))) }
	must(t, os.Mkdir(filepath.Join(root, "bin"), 0o755))
	link("bin/absolute", "/app/child")
	link("bin/relative", "../app/child")
	link("usr", "/bin")
	link("app/twice", "/usr/absolute")
	link("out", "../../../../etc/passwd")
	link("hosts", "/etc/hosts")
	link("circle", "/circle")
	want := filepath.Join(root, "app", "child")
	for _, name := range []string{"/app/child", "/app/../app/./child", "/bin/absolute", "/bin/relative", "/usr/absolute", "/app/twice", "//app//child"} {
		if got, err := inRoot(root, name); err != nil || got != want {
			t.Errorf("%s leads to %s (%v)", name, got, err)
		}
	}
	for name, text := range map[string]string{"/../etc/passwd": "leads out of the image", "/app/../../x": "leads out of the image", "/out": "leads out of the image",
		"/hosts": "does not exist in the image", "/circle": "in a circle", "/nothing": "does not exist in the image", "/app/child/x": "cannot be read"} {
		_, err := inRoot(root, name)
		refused(t, err, text, name)
	}
}

func TestEntrypointSemantics(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	img := testImage(root)
	img.Entrypoint, img.Cmd = []string{"/app/child", "-e"}, []string{"cmd"}
	for _, tc := range []struct {
		command, args []string
		want          string
	}{
		{nil, nil, "/app/child -e cmd"},
		{nil, []string{"arg"}, "/app/child -e arg"},
		{[]string{"child", "-c"}, nil, "child -c"},
		{[]string{"./child"}, []string{"arg"}, "./child arg"},
	} {
		p, err := newProgram(img, &spec{command: tc.command, args: tc.args}, nil, 0)
		must(t, err)
		if got := strings.Join(p.Argv, " "); got != tc.want || p.Path != filepath.Join(root, "app/child") || p.Dir != filepath.Join(root, "app") {
			t.Errorf("got %s at %s in %s, want %s", got, p.Path, p.Dir, tc.want)
		}
	}
	_, err := newProgram(img, &spec{command: []string{"bash"}}, nil, 0)
	refused(t, err, "bash is in no directory of the image's PATH (/bin:/app)")
	_, err = newProgram(img, &spec{workingDir: "/app/child"}, nil, 0)
	refused(t, err, "working directory /app/child")
	img.Entrypoint, img.Cmd = nil, nil
	_, err = newProgram(img, &spec{}, nil, 0)
	refused(t, err, "neither ENTRYPOINT nor CMD")
	img.OS = "plan9"
	_, err = newProgram(img, &spec{}, nil, 0)
	refused(t, err, "the image is for plan9")
}

func TestProgramsThatCannotRunHere(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("programs in ELF are for Linux")
	}
	static, err := os.ReadFile(child)
	must(t, err)
	patched := func(offset int, b ...byte) []byte {
		c := bytes.Clone(static)
		copy(c[offset:], b)
		return c
	}
	for _, tc := range []struct {
		name    string
		content []byte
		mode    os.FileMode
		texts   []string
	}{
		{"machine", patched(18, byte(elf.EM_MIPS), 0), 0o755, []string{"built for the machine MIPS", "GOARCH=" + runtime.GOARCH}},
		{"system", patched(7, byte(elf.ELFOSABI_FREEBSD)), 0o755, []string{"operating system FREEBSD", "GOOS=linux"}},
		{"type", patched(16, byte(elf.ET_REL), 0), 0o755, []string{"no program"}},
		{"damaged", static[:40], 0o755, []string{"damaged", "push the image again"}},
		{"empty", nil, 0o755, []string{"too short"}},
		{"text", []byte("hello there"), 0o755, []string{"neither a program"}},
		{"mode", static, 0o644, []string{"not executable", "chmod"}},
		{"script", []byte("#!/opt/image/bin/python3\n"), 0o755, []string{"script for /opt/image/bin/python3", "static program"}},
		{"env", []byte("#!/usr/bin/env no-such-interpreter\n"), 0o755, []string{"script for no-such-interpreter"}},
		{"bare", []byte("#!\n\n\n"), 0o755, []string{"no interpreter"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "entry")
			must(t, os.WriteFile(file, tc.content, tc.mode))
			refused(t, checkProgram(file, "/entry"), append(tc.texts, "/entry")...)
		})
	}
	refused(t, checkProgram(t.TempDir(), "/dir"), "is not a file")
	must(t, checkProgram(child, "/child"))
	script := filepath.Join(t.TempDir(), "script")
	must(t, os.WriteFile(script, []byte("#! /bin/sh -e\n"), 0o755))
	must(t, checkProgram(script, "/script"))
}

func TestDynamicProgramIsRefused(t *testing.T) {
	t.Parallel()
	shell, err := exec.LookPath("ls")
	must(t, err)
	b, err := os.ReadFile(shell)
	must(t, err)
	f := start(t)
	must(t, os.WriteFile(filepath.Join(f.root, "app", "dynamic"), b, 0o755))
	f.apply("a", withPort+"command: [/app/dynamic]")
	f.never("a", "/app/dynamic is dynamically linked", "CGO_ENABLED=0")
	if v := f.instance("a"); v.Ready || !strings.Contains(v.Reason, "dynamically linked") {
		t.Errorf("instance is %+v", v)
	}
	must(t, f.Stop(t.Context(), "a"))
}

func TestMissingImageIsRefused(t *testing.T) {
	t.Parallel()
	f := start(t)
	w := workload("a", withPort)
	w.Artifact.Image = "unknown"
	must(t, f.Apply(t.Context(), w))
	f.never("a", "there is no image unknown")
}
