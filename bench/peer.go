package main

import (
	"context"
	"crypto/md5"
	"crypto/sha512"
	"errors"
	"hash"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// startPeer starts the bare handlers in a process of their own, as the cloud is
// in one.
func (b *bench) startPeer(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		return err
	}
	b.peerURL = "http://" + address
	b.peer = exec.CommandContext(ctx, self, "-peer", address, "-data", b.o.data)
	b.peer.Stderr = os.Stderr
	if err := b.peer.Start(); err != nil {
		return err
	}
	for range 1000 {
		if c, err := net.Dial("tcp", address); err == nil {
			return c.Close()
		}
		time.Sleep(2 * time.Millisecond)
	}
	return errors.New("the bare handlers did not start")
}

func servePeer(ctx context.Context, address, dir string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /empty", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("PUT /upload", func(w http.ResponseWriter, r *http.Request) {
		if err := bareUpload(filepath.Join(dir, "upload"), r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /download", func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Open(filepath.Join(dir, "download"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Length", strconv.FormatInt(info.Size(), 10))
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = io.Copy(w, f)
	})
	s := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { <-ctx.Done(); _ = s.Close() }()
	if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// bareUpload is what an upload costs at the least: the bytes written and
// hashed twice, each hash in a goroutine of its own, and one fsync.
func bareUpload(path string, body io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	defer f.Close()
	hashes := []hash.Hash{md5.New(), sha512.New()}
	var feeds []chan []byte
	var wg sync.WaitGroup
	var pending []*sync.WaitGroup
	const buffers = 4
	blocks := make([][]byte, buffers)
	for i := range blocks {
		blocks[i] = make([]byte, 1<<20)
		pending = append(pending, &sync.WaitGroup{})
	}
	for _, h := range hashes {
		feed := make(chan []byte, buffers)
		feeds = append(feeds, feed)
		wg.Go(func() {
			for block := range feed {
				h.Write(block)
				for i := range blocks {
					if &blocks[i][0] == &block[0] {
						pending[i].Done()
					}
				}
			}
		})
	}
	for i := 0; err == nil; i = (i + 1) % buffers {
		pending[i].Wait()
		var n int
		n, err = io.ReadFull(body, blocks[i])
		if n > 0 {
			pending[i].Add(len(feeds))
			for _, feed := range feeds {
				feed <- blocks[i][:n]
			}
			if _, e := f.Write(blocks[i][:n]); e != nil {
				err = e
			}
		}
	}
	for _, feed := range feeds {
		close(feed)
	}
	wg.Wait()
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return f.Sync()
}
