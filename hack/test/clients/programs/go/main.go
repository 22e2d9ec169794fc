// Command clients sends one request by a Go client in its default configuration:
//
//	clients CLIENT URL
package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	coder "github.com/coder/websocket"
	"github.com/go-resty/resty/v2"
	gorilla "github.com/gorilla/websocket"
	"github.com/minio/minio-go/v7"
	miniocredentials "github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/valyala/fasthttp"
	"google.golang.org/grpc"
	grpccredentials "google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"k8s.io/client-go/rest"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := request(ctx, os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // the deadline's timer ends with the program
	}
}

func request(ctx context.Context, client, address string) error {
	parsed, err := url.Parse(address)
	if err != nil {
		return err
	}
	switch client {
	case "net-http":
		return get(http.DefaultClient, address)
	case "grpc":
		return check(ctx, parsed)
	case "gorilla":
		_, _, err := gorilla.DefaultDialer.DialContext(ctx, address, nil)
		return err
	case "coder":
		_, _, err := coder.Dial(ctx, address, nil)
		return err
	case "fasthttp":
		_, _, err := fasthttp.Get(nil, address)
		return err
	case "resty":
		_, err := resty.New().R().SetContext(ctx).Get(address)
		return err
	case "aws-s3":
		_, err := s3.New(s3.Options{
			BaseEndpoint: &address, Region: "fr-par", UsePathStyle: true, Retryer: aws.NopRetryer{},
			Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
		}).ListBuckets(ctx, nil)
		return err
	case "minio":
		connection, err := minio.New(parsed.Host, &minio.Options{
			Creds: miniocredentials.NewStaticV4("a", "b", ""), Secure: parsed.Scheme == "https", Region: "fr-par", MaxRetries: 1,
		})
		if err != nil {
			return err
		}
		_, err = connection.ListBuckets(ctx)
		return err
	case "client-go":
		connection, err := rest.HTTPClientFor(&rest.Config{Host: address})
		if err != nil {
			return err
		}
		return get(connection, address)
	}
	return fmt.Errorf("no client %s", client)
}

func get(client *http.Client, address string) error {
	response, err := client.Get(address)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

func check(ctx context.Context, target *url.URL) error {
	transport, port := insecure.NewCredentials(), ":80"
	if target.Scheme == "https" {
		transport, port = grpccredentials.NewTLS(nil), ":443"
	}
	connection, err := grpc.NewClient(target.Host+port, grpc.WithTransportCredentials(transport))
	if err != nil {
		return err
	}
	defer connection.Close()
	_, err = grpc_health_v1.NewHealthClient(connection).Check(ctx, nil)
	return err
}
