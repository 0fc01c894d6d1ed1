package agent

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"
)

// netAddr is an address on a network; two networks may use the same addresses.
type netAddr struct {
	network string
	ip      netip.Addr
}

func digest(name string, data []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte(name + "\x00"))
	h.Write(data)
	return [32]byte(h.Sum(nil))
}

// serveMetadata answers guests, whose requests the network driver hands to a
// unix socket.
func (a *Agent) serveMetadata(ctx context.Context, wg *sync.WaitGroup) error {
	l, err := listenUnix(a.cfg.Dir, "metadata.sock")
	if err != nil {
		return fmt.Errorf("listening for metadata requests: %w", err)
	}
	server := &http.Server{
		Handler: http.HandlerFunc(a.metadata), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		IdleTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
	}
	wg.Go(func() { _ = server.Serve(l) })
	wg.Go(func() { <-ctx.Done(); _ = server.Close() })
	return a.cfg.Network.ServeMetadata(ctx, filepath.Join(a.cfg.Dir, "metadata.sock"))
}

// listenUnix listens on a unix socket for this user alone. The directory is
// named by its descriptor, for the addresses of unix sockets hold 108 bytes.
func listenUnix(dir, name string) (net.Listener, error) {
	at, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer at.Close()
	path := fmt.Sprintf("/proc/self/fd/%d/%s", at.Fd(), name)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // by then the descriptor means something else
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

const maxPassword = 4096

// metadata serves the files that came with the server's desired state, with
// listings of folders, and takes the one thing a guest may post: its password,
// encrypted for the owner's key.
func (a *Agent) metadata(w http.ResponseWriter, r *http.Request) {
	ip, err := netip.ParseAddr(r.Header.Get("X-Nephos-Source"))
	if err != nil {
		http.Error(w, "unknown source", http.StatusForbidden)
		return
	}
	a.mu.Lock()
	port := a.byAddr[netAddr{r.Header.Get("X-Nephos-Network"), ip.Unmap()}]
	a.mu.Unlock()
	_, o := a.serverOf(port)
	if port == "" || o == nil {
		http.NotFound(w, r)
		return
	}
	a.mu.Lock()
	server := o.server
	a.mu.Unlock()
	files := server.AllFiles()
	name := strings.Trim(r.URL.Path, "/")
	switch {
	case r.Method == http.MethodPost && strings.HasPrefix(name, "openstack/") && strings.HasSuffix(name, "/password"):
		a.takePassword(w, r, port)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	a.moment(r.Context(), port, "metadata", a.cfg.Clock.Now(), nil)
	if data, ok := files[name]; ok {
		if strings.HasSuffix(name, ".json") {
			w.Header().Set("Content-Type", "application/json")
		} else {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		}
		_, _ = w.Write(data)
		return
	}
	if list := listing(files, name); list != "" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, list)
		return
	}
	http.NotFound(w, r)
}

// listing names what is in a folder, one a line, folders with a slash, as the
// EC2 layout has it.
func listing(files map[string][]byte, dir string) string {
	prefix := ""
	if dir != "" {
		prefix = dir + "/"
	}
	seen := map[string]bool{}
	for name := range files {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		if first, _, deeper := strings.Cut(rest, "/"); deeper {
			seen[first+"/"] = true
		} else {
			seen[first] = true
		}
	}
	names := make([]string, 0, len(seen))
	for n := range seen {
		names = append(names, n)
	}
	sort.Strings(names)
	return strings.Join(names, "\n")
}

func (a *Agent) takePassword(w http.ResponseWriter, r *http.Request, port string) {
	b, err := io.ReadAll(io.LimitReader(r.Body, maxPassword+1))
	if err != nil || len(b) == 0 || len(b) > maxPassword {
		http.Error(w, "bad password", http.StatusBadRequest)
		return
	}
	data, err := json.Marshal(string(b))
	if err != nil {
		http.Error(w, "bad password", http.StatusBadRequest)
		return
	}
	a.moment(r.Context(), port, "password", a.cfg.Clock.Now(), data)
	w.WriteHeader(http.StatusOK)
}
