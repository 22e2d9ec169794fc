import java.net.URI;
import java.net.URL;

/** Clients CLIENT URL: one request by a Java client in its default configuration. */
public class Clients {
    public static void main(String[] arguments) throws Exception {
        String url = arguments[1];
        switch (arguments[0]) {
            case "url-connection" -> new URL(url).openStream().readAllBytes();
            case "http-client" -> java.net.http.HttpClient.newHttpClient().send(
                java.net.http.HttpRequest.newBuilder(URI.create(url)).build(),
                java.net.http.HttpResponse.BodyHandlers.ofString());
            case "apache" -> org.apache.http.impl.client.HttpClients.createDefault().execute(
                new org.apache.http.client.methods.HttpGet(url)).close();
            case "okhttp" -> {
                var client = new okhttp3.OkHttpClient();
                client.newCall(new okhttp3.Request.Builder().url(url).build()).execute().close();
                System.exit(0); // its threads would keep the program for a minute
            }
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }
}
