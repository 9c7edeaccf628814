package process

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/fairwaycd/fairway"
)

// maxLinks bounds how many symbolic links a path may lead through.
const maxLinks = 40

// inRoot returns where name, a path inside an image, lies on the host. Links
// are followed as inside the image: an absolute one starts at root. A path
// that leads above root is refused. name is absolute.
func inRoot(root, name string) (string, error) {
	var done []string // resolved components
	todo := strings.Split(name, "/")
	for links := 0; len(todo) > 0; {
		c := todo[0]
		todo = todo[1:]
		switch c {
		case "", ".":
			continue
		case "..":
			if len(done) == 0 {
				return "", fairway.Errorf(fairway.KindRefused, "%s leads out of the image; name a path, or make its symbolic links point, inside the image", name)
			}
			done = done[:len(done)-1]
			continue
		}
		here := filepath.Join(root, filepath.Join(done...), c)
		target, err := os.Readlink(here)
		if err != nil {
			if _, serr := os.Lstat(here); serr != nil {
				return "", missing(name, serr)
			}
			done = append(done, c)
			continue
		}
		if links++; links > maxLinks {
			return "", fairway.Errorf(fairway.KindRefused, "%s leads through more than %d symbolic links; they go in a circle", name, maxLinks)
		}
		if path.IsAbs(target) {
			done = done[:0]
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return filepath.Join(root, filepath.Join(done...)), nil
}

func missing(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fairway.Errorf(fairway.KindRefused, "%s does not exist in the image: %w", name, fs.ErrNotExist)
	}
	return fairway.Errorf(fairway.KindRefused, "%s cannot be read in the unpacked image: %w", name, err)
}

// findProgram resolves the first word of a command inside the image: a path,
// absolute or relative to the working directory, or a name looked up in the
// image's directories of searchPath.
func findProgram(root, workingDir, searchPath, word string) (string, error) {
	if strings.Contains(word, "/") {
		if !path.IsAbs(word) {
			word = workingDir + "/" + word
		}
		return inRoot(root, word)
	}
	for _, dir := range strings.Split(searchPath, ":") {
		if !path.IsAbs(dir) {
			continue
		}
		found, err := inRoot(root, dir+"/"+word)
		if err != nil {
			continue
		}
		if info, err := os.Stat(found); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return found, nil
		}
	}
	return "", fairway.Errorf(fairway.KindRefused, "%s is in no directory of the image's PATH (%s); write its absolute path, or COPY it into one of them", word, searchPath)
}
