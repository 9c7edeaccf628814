package process

import (
	"bufio"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
)

// program is what is executed, all paths resolved to the host.
type program struct {
	Root string   `json:"root"` // of the unpacked image
	Path string   `json:"path"`
	Argv []string `json:"argv"`
	Dir  string   `json:"dir"`
	Env  []string `json:"env"` // without the identity
}

// defaultPath is searched where neither image nor container sets PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// newProgram joins image and container as Kubernetes does: command replaces
// the entrypoint and the image's arguments, args replace the arguments alone.
// It refuses (KindRefused) what cannot run outside the image's file system.
func newProgram(img fairway.UnpackedImage, s *spec, base []string, port int) (program, error) {
	if img.OS != "" && img.OS != runtime.GOOS {
		return program{}, fairway.Errorf(fairway.KindRefused, "the image is for %s/%s and this machine is %s/%s; build it for %s", img.OS, img.Arch, runtime.GOOS, runtime.GOARCH, runtime.GOOS)
	}
	env, vars := s.environment(append(slices.Clone(base), img.Env...), port)
	argv, err := commandLine(img, s)
	if err != nil {
		return program{}, err
	}
	for i := range argv {
		argv[i] = fill(expand(argv[i], vars), port)
	}
	workingDir := first(s.workingDir, img.WorkingDir, "/")
	dir, err := inRoot(img.Root, workingDir)
	if err != nil {
		return program{}, fmt.Errorf("working directory: %w", err)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return program{}, fairway.Errorf(fairway.KindRefused, "working directory %s is no directory of the image; correct WORKDIR or workingDir", workingDir)
	}
	found, err := findProgram(img.Root, workingDir, first(pathOf(img.Env, s), defaultPath), argv[0])
	if err != nil {
		return program{}, fmt.Errorf("entrypoint: %w", err)
	}
	if err := checkProgram(found, argv[0]); err != nil {
		return program{}, err
	}
	return program{Root: img.Root, Path: found, Argv: argv, Dir: dir, Env: env}, nil
}

func commandLine(img fairway.UnpackedImage, s *spec) ([]string, error) {
	entrypoint, args := img.Entrypoint, img.Cmd
	if len(s.command) > 0 {
		entrypoint, args = s.command, nil
	}
	if len(s.args) > 0 {
		args = s.args
	}
	argv := slices.Concat(entrypoint, args)
	if len(argv) == 0 || argv[0] == "" {
		return nil, fairway.Errorf(fairway.KindRefused, "the image has neither ENTRYPOINT nor CMD and the container no command; set one of them")
	}
	return argv, nil
}

// pathOf returns the PATH that image or container set, without Fairway's own:
// that one names directories of the host.
func pathOf(imageEnv []string, s *spec) string {
	_, vars := s.environment(imageEnv, 0)
	return vars["PATH"]
}

func first(ss ...string) string {
	for _, s := range ss {
		if s != "" {
			return s
		}
	}
	return ""
}

// checkProgram refuses a file that cannot be executed here. name is what the
// user wrote.
func checkProgram(file, name string) error {
	info, err := os.Stat(file)
	if err != nil {
		return missing(name, err)
	}
	if !info.Mode().IsRegular() {
		return fairway.Errorf(fairway.KindRefused, "entrypoint %s is not a file; name the program itself", name)
	}
	if info.Mode()&0o111 == 0 {
		return fairway.Errorf(fairway.KindRefused, "entrypoint %s is not executable; add RUN chmod +x %s (or COPY --chmod=755) to the Dockerfile", name, name)
	}
	f, err := os.Open(file)
	if err != nil {
		return missing(name, err)
	}
	defer f.Close()
	magic := make([]byte, 4)
	if _, err := io.ReadFull(f, magic); err != nil {
		return fairway.Errorf(fairway.KindRefused, "entrypoint %s is too short to be a program", name)
	}
	switch {
	case string(magic) == elf.ELFMAG:
		return checkELF(f, name)
	case string(magic[:2]) == "#!":
		return checkScript(f, name)
	case runtime.GOOS == "darwin" && isMachO(magic):
		return nil
	}
	return fairway.Errorf(fairway.KindRefused, "entrypoint %s is neither a program for %s nor a script that begins with #!", name, runtime.GOOS)
}

func isMachO(magic []byte) bool {
	return slices.Contains([]string{"\xcf\xfa\xed\xfe", "\xca\xfe\xba\xbe"}, string(magic))
}

// machines maps Go's names of architectures to those in ELF headers.
var machines = map[string]elf.Machine{
	"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "386": elf.EM_386, "arm": elf.EM_ARM,
	"riscv64": elf.EM_RISCV, "ppc64le": elf.EM_PPC64, "s390x": elf.EM_S390, "loong64": elf.EM_LOONGARCH,
}

func checkELF(f *os.File, name string) error {
	if runtime.GOOS != "linux" {
		return fairway.Errorf(fairway.KindRefused, "entrypoint %s is a program for Linux and this machine is %s/%s; build it with GOOS=%s", name, runtime.GOOS, runtime.GOARCH, runtime.GOOS)
	}
	e, err := elf.NewFile(f)
	if err != nil {
		return fairway.Errorf(fairway.KindRefused, "entrypoint %s is damaged: %w; build and push the image again", name, err)
	}
	if want, ok := machines[runtime.GOARCH]; ok && e.Machine != want {
		return fairway.Errorf(fairway.KindRefused, "entrypoint %s is built for the machine %s and this one is %s; build it with GOARCH=%s, or push an index with both", name, strings.TrimPrefix(e.Machine.String(), "EM_"), runtime.GOARCH, runtime.GOARCH)
	}
	if e.OSABI != elf.ELFOSABI_NONE && e.OSABI != elf.ELFOSABI_LINUX {
		return fairway.Errorf(fairway.KindRefused, "entrypoint %s is built for the operating system %s and this one is Linux; build it with GOOS=linux", name, strings.TrimPrefix(e.OSABI.String(), "ELFOSABI_"))
	}
	if e.Type != elf.ET_EXEC && e.Type != elf.ET_DYN {
		return fairway.Errorf(fairway.KindRefused, "entrypoint %s is no program but a file of type %s", name, e.Type)
	}
	for _, p := range e.Progs {
		if p.Type == elf.PT_INTERP {
			return fairway.Errorf(fairway.KindRefused, "entrypoint %s is dynamically linked: it is loaded by %s and libraries of its image, which are not used here since programs run without a container; build it statically, in Go with CGO_ENABLED=0", name, interpreterOf(p))
		}
	}
	return nil
}

func interpreterOf(p *elf.Prog) string {
	b, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
	if err != nil {
		return "an interpreter"
	}
	return strings.TrimRight(string(b), "\x00")
}

// checkScript refuses a script whose interpreter the host does not have: the
// kernel looks for it on the host, not in the image.
func checkScript(f *os.File, name string) error {
	if _, err := f.Seek(2, io.SeekStart); err != nil {
		return missing(name, err)
	}
	line, err := bufio.NewReader(io.LimitReader(f, 512)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return missing(name, err)
	}
	words := strings.Fields(line)
	if len(words) == 0 {
		return fairway.Errorf(fairway.KindRefused, "entrypoint %s names no interpreter after #!", name)
	}
	interpreter := words[0]
	if path.Base(interpreter) == "env" && len(words) > 1 && !strings.HasPrefix(words[1], "-") {
		interpreter = words[1]
	}
	if _, err := exec.LookPath(interpreter); err != nil {
		return fairway.Errorf(fairway.KindRefused, "entrypoint %s is a script for %s, which this machine does not have; the image's own is not used here since programs run without a container: install %s, or make the entrypoint a static program", name, interpreter, interpreter)
	}
	return nil
}
