import okhttp3.OkHttpClient;
import okhttp3.Request;

/** OkHttp URL: one request by OkHttp in its default configuration. */
public class OkHttp {
    public static void main(String[] arguments) throws Exception {
        new OkHttpClient().newCall(new Request.Builder().url(arguments[0]).build()).execute().close();
        System.exit(0); // its threads would keep the program for a minute
    }
}
