package glance

import (
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/image"
)

// signedRoutes are the doors for hosts: a URL's signature stands for a token.
func (a *api) signedRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "GET /signed/{id}", Public: true, Handler: a.downloadSigned},
		{Pattern: "PUT /signed/{id}", Public: true, Stream: true, Handler: a.uploadSigned},
	}
}

func signedRequest(r *httpapi.Request) image.SignedRequest {
	expires, _ := r.Param("expires")
	signature, _ := r.Param("signature")
	return image.SignedRequest{ImageID: r.PathValue("id"), Expires: expires, Signature: signature}
}

func (a *api) downloadSigned(r *httpapi.Request) (*httpapi.Response, error) {
	want := span{}
	img, body, err := a.Signed.DownloadSigned(r.Context(), signedRequest(r), want.from(r.Header))
	return bytesOf(img, body, want, err)
}

func (a *api) uploadSigned(r *httpapi.Request) (*httpapi.Response, error) {
	if err := a.Signed.UploadSigned(r.Context(), signedRequest(r), r.Body, r.ContentLength); err != nil {
		return nil, uploadError(err)
	}
	return httpapi.NoContent(), nil
}
