/* The yardstick of std_layer.py: Eq. (5), derived form, and its gradients to u and sigma, as one
   would write them by hand in C. The Gaussian is separable and cut at the radius r; outside the
   image the field is 0. One thread, float32.

   u, x: n images of h x w; taps, slope: r + 1 taps and their derivatives by sigma.
   states: room for the x_t of all steps, (steps + 1) n h w. room: 3 h w. */
#include <math.h>
#include <string.h>

/* out = column pass of taps, then row pass: `vertical` and `horizontal` are r + 1 taps each. */
static void blur(int h, int w, int r, const float *vertical, const float *horizontal,
                 const float *in, float *middle, float *out)
{
    for (int y = 0; y < h; y++) {
        float *row = middle + y * w;
        for (int x = 0; x < w; x++) row[x] = vertical[0] * in[y * w + x];
        for (int k = 1; k <= r; k++) {
            if (y - k >= 0)
                for (int x = 0; x < w; x++) row[x] += vertical[k] * in[(y - k) * w + x];
            if (y + k < h)
                for (int x = 0; x < w; x++) row[x] += vertical[k] * in[(y + k) * w + x];
        }
    }
    for (int y = 0; y < h; y++) {
        const float *row = middle + y * w;
        float *to = out + y * w;
        for (int x = 0; x < w; x++) to[x] = horizontal[0] * row[x];
        for (int k = 1; k <= r && k < w; k++) {
            for (int x = k; x < w; x++) to[x] += horizontal[k] * row[x - k];
            for (int x = 0; x < w - k; x++) to[x] += horizontal[k] * row[x + k];
        }
    }
}

static void sigmoid(int size, const float *z, float *x)
{
    for (int i = 0; i < size; i++) x[i] = 1 / (1 + expf(-z[i]));
}

/* shift is lambda2 (1 - c), the same for all images. */
void forward(int n, int h, int w, int r, int steps, const float *taps, float lambda1, float shift,
             float epsilon, const float *u, float *states, float *room)
{
    int size = h * w;
    float *middle = room, *field = room + size, *one = room + 2 * size;
    for (int i = 0; i < size; i++) field[i] = 1;
    blur(h, w, r, taps, taps, field, middle, one);
    for (int image = 0; image < n; image++, u += size, states += (steps + 1) * size) {
        sigmoid(size, u, states);
        for (int t = 0; t < steps; t++) {
            float *x = states + t * size;
            blur(h, w, r, taps, taps, x, middle, field);
            for (int i = 0; i < size; i++)
                field[i] = (u[i] - lambda1 * (one[i] - 2 * field[i]) - shift) / epsilon;
            sigmoid(size, field, x + size);
        }
    }
}

/* gradient: of the loss by the last x. to_u: by u. Returns the gradient by sigma. room: 4 h w. */
double backward(int n, int h, int w, int r, int steps, const float *taps, const float *slope,
                float lambda1, float epsilon, const float *states, const float *gradient,
                float *to_u, float *room)
{
    int size = h * w;
    float *middle = room, *field = room + size, *g = room + 2 * size, *back = room + 3 * size;
    double to_sigma = 0;
    for (int image = 0; image < n; image++, to_u += size, gradient += size,
             states += (steps + 1) * size) {
        const float *x = states + steps * size;
        memset(to_u, 0, size * sizeof(float));
        for (int i = 0; i < size; i++) g[i] = gradient[i] * x[i] * (1 - x[i]);
        for (int t = steps - 1; t >= 0; t--) {
            x = states + t * size;
            for (int i = 0; i < size; i++) to_u[i] += g[i] / epsilon;
            for (int i = 0; i < size; i++) field[i] = x[i] - 0.5f;
            for (int side = 0; side < 2; side++) {
                blur(h, w, r, side ? taps : slope, side ? slope : taps, field, middle, back);
                float sum = 0;
                for (int i = 0; i < size; i++) sum += g[i] * back[i];
                to_sigma += 2 * lambda1 / epsilon * sum;
            }
            blur(h, w, r, taps, taps, g, middle, back);
            for (int i = 0; i < size; i++)
                g[i] = 2 * lambda1 / epsilon * back[i] * x[i] * (1 - x[i]);
        }
        for (int i = 0; i < size; i++) to_u[i] += g[i];
    }
    return to_sigma;
}
