package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway/cli"
)

var (
	shellBlock = regexp.MustCompile("(?ms)^```(?:sh|bash|console)\n(.*?)^```")
	anyBlock   = regexp.MustCompile("(?ms)^```.*?^```\n")
	codeSpan   = regexp.MustCompile("`(fairway [^`]+)`")
	shellWord  = regexp.MustCompile(`"[^"]*"|'[^']*'|[^\s"']+`)
	calls      = regexp.MustCompile(`(?:^|[\s(|;&])fairway ([^|;&)]*)`)
)

// TestQuotedCommandsAreUnderstood holds every command line of the documents
// against the commands and flags that there are. It runs none.
func TestQuotedCommandsAreUnderstood(t *testing.T) {
	t.Parallel()
	n := 0
	for _, file := range markdown(t) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range quoted(string(b)) {
			n++
			if err := understand(line); err != nil {
				t.Errorf("%s: `fairway %s`: %v", file, line, err)
			}
		}
	}
	if n < 60 {
		t.Errorf("only %d command lines were found", n)
	}
}

func markdown(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && slices.Contains([]string{".git", "testdata", "bin"}, d.Name()) {
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

// quoted returns what stands behind "fairway" in the shell blocks and code
// spans of a document.
func quoted(text string) []string {
	var lines []string
	for _, block := range shellBlock.FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(strings.ReplaceAll(block[1], "\\\n", " ")) {
			line, _, _ = strings.Cut(line, " #")
			if strings.HasPrefix(line, "#") {
				continue
			}
			for _, m := range calls.FindAllStringSubmatch(line, -1) {
				lines = append(lines, strings.TrimSpace(m[1]))
			}
		}
	}
	for _, span := range codeSpan.FindAllStringSubmatch(anyBlock.ReplaceAllString(text, ""), -1) {
		if line := strings.TrimPrefix(span[1], "fairway "); !strings.ContainsAny(line, "[|…<") {
			lines = append(lines, strings.ReplaceAll(line, "\n", " "))
		}
	}
	return lines
}

// understand parses a command line without running it. A line in running text
// may leave out what is clear from it: only a command with arguments has them
// counted.
func understand(line string) error {
	var args []string
	for _, w := range shellWord.FindAllString(line, -1) {
		if strings.HasPrefix(w, "2>") || strings.HasPrefix(w, ">") || strings.HasPrefix(w, "<") {
			break
		}
		args = append(args, strings.Trim(w, `"'`))
	}
	if len(args) > 0 && args[0] == "COMMAND" {
		return nil
	}
	root := cli.New(cli.Options{Extra: []*cobra.Command{upCommand(), demoCommand()}})
	root.InitDefaultHelpCmd() // which only running it would add
	found, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if err := found.ParseFlags(rest); err != nil {
		return err
	}
	words := found.Flags().Args()
	if found.HasSubCommands() && len(words) > 0 {
		return fmt.Errorf("%s is not a command of %s", words[0], found.CommandPath())
	}
	if found.Args == nil || len(words) == 0 {
		return nil
	}
	return found.Args(found, words)
}
