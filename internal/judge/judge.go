// Package judge brings the clients of others that tests let judge this
// gateway: packages of npm, and programs and modules of Debian. It is for tests
// only.
//
// What a machine lacks is installed where that can be done without asking; a
// test whose judge cannot be had is skipped and says so, but fails where
// environment variable CI is true: nothing is left out there.
package judge

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Missing skips a test for want of something, or fails it on CI, which is to
// have everything.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// Node returns a folder whose node_modules has the packages, given as
// NAME@VERSION. It is kept in the user's cache for the next time. Their
// scripts are not run.
func Node(t testing.TB, packages ...string) (folder string) {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			Missing(t, "%s is not installed; %s were not tried", tool, strings.Join(packages, ", "))
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		Missing(t, "there is no folder for packages of npm: %v", err)
	}
	folder = filepath.Join(cache, "gatehouse-test", nameOf(packages))
	if _, err := os.Stat(folder); err == nil {
		return folder
	}
	if err := install(t, folder, packages); err != nil {
		Missing(t, "%s could not be installed: %v", strings.Join(packages, ", "), err)
	}
	return folder
}

// nameOf returns a name for a folder with these packages and no others.
func nameOf(packages []string) string {
	sorted := slices.Sorted(slices.Values(packages))
	sum := sha256.Sum256([]byte(strings.Join(sorted, "\n")))
	return "npm-" + hex.EncodeToString(sum[:8])
}

// install makes the folder, whole or not at all: several processes may want
// the same one.
func install(t testing.TB, folder string, packages []string) error {
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(folder), "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh) //nolint:errcheck // it is of no use any more
	args := append([]string{"install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", fresh}, packages...)
	npm := exec.CommandContext(t.Context(), "npm", args...)
	npm.Dir = fresh
	if text, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, text)
	}
	if err := os.Rename(fresh, folder); err != nil {
		if _, other := os.Stat(folder); other != nil { // nobody else was faster
			return err
		}
	}
	return nil
}

// apt is held while Debian's package manager is at work.
var apt sync.Mutex //nolint:gochecknoglobals // there is one in a machine

// Program returns where a program is. One that is absent is installed from a
// package of Debian, if this is a Debian and the user may.
func Program(t testing.TB, name, debian string) (path string) {
	t.Helper()
	apt.Lock()
	defer apt.Unlock()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	if os.Geteuid() != 0 {
		Missing(t, "%s is not installed; it is in Debian's package %s", name, debian)
	}
	if err := aptInstall(t, debian); err != nil {
		Missing(t, "%s is not installed, and Debian's package %s cannot be: %v", name, debian, err)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, "Debian's package %s does not have %s", debian, name)
	}
	return path
}

// Python returns a Python that has a module. If no Python here has it, it is
// installed from packages of Debian, as a Program is.
func Python(t testing.TB, module string, debian ...string) (path string) {
	t.Helper()
	apt.Lock()
	defer apt.Unlock()
	if path, ok := pythonWith(t, module); ok {
		return path
	}
	if os.Geteuid() != 0 {
		Missing(t, "no Python here has %s; it is in Debian's package %s", module, debian[0])
	}
	if err := aptInstall(t, debian...); err != nil {
		Missing(t, "no Python here has %s, and Debian's package %s cannot be installed: %v", module, debian[0], err)
	}
	path, ok := pythonWith(t, module)
	if !ok {
		Missing(t, "Debian's package %s does not bring %s", debian[0], module)
	}
	return path
}

// pythonWith looks for a Python that has a module: the user's, or Debian's own.
func pythonWith(t testing.TB, module string) (path string, ok bool) {
	for _, path := range []string{"python3", "/usr/bin/python3"} {
		if exec.CommandContext(t.Context(), path, "-c", "import "+module).Run() == nil {
			return path, true
		}
	}
	return "", false
}

// aptInstall installs packages, with the lists renewed if that fails. It waits
// for other processes that install something.
func aptInstall(t testing.TB, debian ...string) error {
	var err error
	for _, args := range [][]string{{"install"}, {"update"}, {"install"}} {
		args = append(args, "-q", "-y", "-o", "DPkg::Lock::Timeout=300")
		if args[0] == "install" {
			args = append(append(args, "--no-install-recommends"), debian...)
		}
		c := exec.CommandContext(t.Context(), "apt-get", args...)
		c.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		text, failed := c.CombinedOutput()
		if err = nil; failed != nil {
			err = fmt.Errorf("%w\n%s", failed, text)
		}
		if args[0] == "install" && err == nil {
			return nil
		}
	}
	return err
}
