// A client in Java, as one would write it: what goes wrong is an exception that nobody catches.
// Arguments: URL AUTHORITY (CERTIFICATE KEY) PKCS12 TLS CIPHERS; what is empty is left out.

import java.io.FileInputStream;
import java.net.HttpURLConnection;
import java.net.URL;
import java.security.KeyStore;
import java.security.Security;
import java.security.cert.CertificateFactory;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class Client {
    public static void main(String[] arguments) throws Exception {
        String url = arguments[0], authority = arguments[1], pkcs12 = arguments[4];
        String tls = arguments[5], ciphers = arguments[6];
        if (!tls.isEmpty()) {
            // Java forbids by itself what is old; here that is what is tried.
            Security.setProperty("jdk.tls.disabledAlgorithms", "");
            System.setProperty("https.protocols", "TLSv" + tls);
        }
        if (ciphers.equals("AES128-SHA")) {
            System.setProperty("https.cipherSuites", "TLS_RSA_WITH_AES_128_CBC_SHA");
        }
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        KeyStore trusted = null, own = KeyStore.getInstance("PKCS12");
        if (!authority.isEmpty()) {
            trusted = KeyStore.getInstance("PKCS12");
            trusted.load(null, null);
            try (FileInputStream file = new FileInputStream(authority)) {
                trusted.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(file));
            }
        }
        own.load(pkcs12.isEmpty() ? null : new FileInputStream(pkcs12), "changeit".toCharArray());
        keys.init(own, "changeit".toCharArray());
        trust.init(trusted);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        HttpsURLConnection.setDefaultSSLSocketFactory(context.getSocketFactory());

        HttpURLConnection connection = (HttpURLConnection) new URL(url).openConnection();
        connection.setReadTimeout(20000);
        System.out.println(new String(connection.getInputStream().readAllBytes()));
    }
}
