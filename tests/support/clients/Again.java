// Four connections one after the other; Java resumes the session of the one before by itself.
// Arguments as of Client.java; TLS is the one version that is spoken.

import java.io.FileInputStream;
import java.net.URI;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

public class Again {
    public static void main(String[] arguments) throws Exception {
        URI to = URI.create(arguments[0]);
        KeyStore trusted = KeyStore.getInstance("PKCS12"), own = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        try (FileInputStream file = new FileInputStream(arguments[1])) {
            trusted.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        own.load(new FileInputStream(arguments[4]), "changeit".toCharArray());
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        keys.init(own, "changeit".toCharArray());
        trust.init(trusted);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        for (int call = 0; call < 4; call++) {
            try (SSLSocket link = (SSLSocket) context.getSocketFactory().createSocket(to.getHost(), to.getPort())) {
                link.setEnabledProtocols(new String[] {"TLSv" + arguments[5]});
                link.setSoTimeout(20000);
                String request = "GET / HTTP/1.1\r\nHost: " + to.getAuthority() + "\r\nConnection: close\r\n\r\n";
                link.getOutputStream().write(request.getBytes());
                String answer = new String(link.getInputStream().readAllBytes());
                System.out.println(answer.split(" ")[1]);
            }
        }
    }
}
