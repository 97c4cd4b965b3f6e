/* The first two blocks of Sec. III-C by tabled pieces: see lookup.py for what is tabled, and why.

   Plain C and one extension that GCC and Clang share: vectors, which the compiler maps to whatever the processor has.

   Of each image (1, height, width) the largest and the smallest pixel of each 2x2 square are taken, two maps (H, W).
   Along a row, neighbours mostly lie on the same linear piece: a row is cut into runs of one piece, so that the two
   vectors of a piece, slope and intercept, stay in registers while a run is gone through. Pieces that are zero (no
   channel is active there) are passed over. Threads share the images out among them, by the OpenMP that PyTorch has. */

#include <omp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { KERNEL = 5, CHANNELS = 32, LANES = 16 }; /* the second convolution, (5x5, 32); numbers in a vector */

typedef float vector __attribute__((vector_size(4 * LANES), aligned(4)));
typedef uint32_t words __attribute__((vector_size(4 * LANES), aligned(4)));
typedef uint16_t halves __attribute__((vector_size(2 * LANES), aligned(2)));
typedef uint8_t bytes __attribute__((vector_size(LANES), aligned(1)));

typedef struct {
  int32_t images, height, width; /* pixels */
  int32_t padding;               /* of the second convolution */
  int32_t rising, falling;       /* channels whose slope is >= 0, which see the largest pixel, and < 0, the smallest */
  int32_t bfloat16;              /* whether maps and gradients outside are in bfloat16, else in float32 */
  int32_t threads;
} shape;

typedef struct {
  int32_t begin, end, piece;
} run;

static inline vector get(const float *from) { return *(const vector *)from; }
static inline void put(float *to, vector value) { *(vector *)to = value; }
static inline int larger(int a, int b) { return a > b ? a : b; }
static inline int smaller(int a, int b) { return a < b ? a : b; }

/* Both maps' row y: `high` and `low`, W numbers each. */
static void extremes(const float *image, int width, int y, float *high, float *low) {
  const float *a = image + (size_t)2 * y * width, *b = a + width;
  for (int x = 0; x < width / 2; x++) {
    float p = a[2 * x], q = a[2 * x + 1], r = b[2 * x], s = b[2 * x + 1];
    float pq = p > q ? p : q, rs = r > s ? r : s;
    high[x] = pq > rs ? pq : rs;
    pq = p < q ? p : q, rs = r < s ? r : s;
    low[x] = pq < rs ? pq : rs;
  }
}

/* Cut a row of W values into runs: piece `first` + how many kinks lie below; runs of piece `zero` are left out. */
static int cut(const float *values, int W, const float *kinks, int many, int first, int zero, int32_t *piece, run *runs) {
  int found = 0;
  for (int x = 0; x < W; x += LANES) { /* rows have room for whole vectors */
    words in = (words){0} + (uint32_t)first;
    for (int k = 0; k < many; k++) in -= (words)(get(values + x) > kinks[k]); /* true is -1 */
    *(words *)(piece + x) = in;
  }
  for (int begin = 0, end; begin < W; begin = end) {
    for (end = begin + 1; end < W && piece[end] == piece[begin]; end++) {}
    if (piece[begin] != zero) runs[found++] = (run){begin, end, piece[begin]};
  }
  return found;
}

/* Lengths that follow from a shape. */
typedef struct {
  int H, W, down, across;   /* the pooled maps, the convolution's output */
  size_t room;              /* for a row of the pooled maps, in whole vectors */
  size_t line, map, pooled; /* numbers in a row of the output, in an image's, in that after pooling */
  size_t piece, table;      /* numbers in a table's piece, in a table */
} sizes;

static sizes sizes_of(const shape *s) {
  int H = s->height / 2, W = s->width / 2;
  int down = H + 2 * s->padding - KERNEL + 1, across = W + 2 * s->padding - KERNEL + 1;
  size_t room = (size_t)(W + LANES - 1) / LANES * LANES, line = (size_t)across * CHANNELS;
  size_t pooled = (size_t)(down / 2) * (across / 2) * CHANNELS, piece = KERNEL * KERNEL * 2 * CHANNELS;
  return (sizes){H, W, down, across, room, line, down * line, pooled, piece, (s->rising + s->falling + 2) * piece};
}

/* What is known of an image before any table is read: both maps, [2][H][room], and their rows' runs. */
typedef struct {
  float *values;
  run *runs;
  int32_t *count, *piece;
} rows;

static int make_rows(rows *r, const sizes *n) {
  size_t each = 2 * n->H * n->room;
  r->values = calloc(each, sizeof *r->values);
  r->runs = malloc(each * sizeof *r->runs);
  r->count = malloc((size_t)2 * n->H * sizeof *r->count);
  r->piece = malloc(n->room * sizeof *r->piece);
  return r->values && r->runs && r->count && r->piece;
}

static void free_rows(rows *r) {
  free(r->values), free(r->runs), free(r->count), free(r->piece);
}

static void read_rows(rows *r, const shape *s, const sizes *n, const float *image, const float *kinks) {
  int last = s->rising + 1 + s->falling;
  for (int y = 0; y < n->H; y++) {
    size_t upper = y * n->room, lower = (n->H + y) * n->room;
    float *high = r->values + upper, *low = r->values + lower;
    extremes(image, s->width, y, high, low);
    /* pieces 0 ... rising belong to the largest pixels, of which 0 lies below all kinks: no channel is active there;
       the smallest ones' follow, of which the last lies above all kinks */
    r->count[y] = cut(high, n->W, kinks, s->rising, 0, 0, r->piece, r->runs + upper);
    r->count[n->H + y] =
        cut(low, n->W, kinks + s->rising, s->falling, s->rising + 1, last, r->piece, r->runs + lower);
  }
}

/* Add to places from ... to of the output what one tap has for them; place x sees pixel x + shift. */
static inline void add_tap(float *sum, const float *tap, const float *v, int from, int to, int shift) {
  vector slope = get(tap), slope2 = get(tap + LANES), base = get(tap + CHANNELS), base2 = get(tap + CHANNELS + LANES);
  for (int x = from; x < to; x++) {
    float *o = sum + (size_t)x * CHANNELS;
    put(o, get(o) + (slope * v[x + shift] + base));
    put(o + LANES, get(o + LANES) + (slope2 * v[x + shift] + base2));
  }
}

/* The same of a whole row of the kernel, at places whose pixels all lie on the same piece. */
static inline void add_taps(float *sum, const float *taps, const float *v, int from, int to, int shift) {
  for (int c = 0; c < CHANNELS; c += LANES) {
    vector slope[KERNEL], base = {0};
    for (int j = 0; j < KERNEL; j++) {
      slope[j] = get(taps + (size_t)j * 2 * CHANNELS + c);
      base += get(taps + (size_t)j * 2 * CHANNELS + CHANNELS + c);
    }
    for (int x = from; x < to; x++) {
      float *o = sum + (size_t)x * CHANNELS + c;
      vector now = get(o) + base;
      for (int j = 0; j < KERNEL; j++) now += slope[j] * v[x + shift + j];
      put(o, now);
    }
  }
}

/* Add to a row of the output what row `row` of both maps has for it by row `k` of the kernel. */
static void add_row(float *sum, const shape *s, const sizes *n, const rows *r, int row, int k, const float *table) {
  const float *v = r->values + row * n->room;
  const run *now = r->runs + row * n->room, *end = now + r->count[row];
  for (; now < end; now++) {
    const float *taps = table + now->piece * n->piece + (size_t)k * KERNEL * 2 * CHANNELS;
    /* places all of whose pixels lie in the run; those beside them are seen by some taps alone */
    int from = larger(now->begin + s->padding, 0), to = smaller(now->end + s->padding - KERNEL + 1, n->across);
    if (from < to) add_taps(sum, taps, v, from, to, -s->padding);
    else from = to = n->across; /* none */
    for (int j = 0; j < KERNEL; j++) {
      int shift = j - s->padding;
      int first = larger(now->begin - shift, 0), last = smaller(now->end - shift, n->across);
      const float *tap = taps + (size_t)j * 2 * CHANNELS;
      add_tap(sum, tap, v, first, smaller(from, last), shift);
      add_tap(sum, tap, v, larger(to, first), last, shift);
    }
  }
}

/* The gradient by the table's numbers: what `add_row` does, backwards; `g` is a row of the output's gradient. */
static void add_gradient(float *table, const shape *s, const sizes *n, const rows *r, int row, int k, const float *g) {
  const float *v = r->values + row * n->room;
  const run *now = r->runs + row * n->room, *end = now + r->count[row];
  for (; now < end; now++) {
    float *tap = table + now->piece * n->piece + (size_t)k * KERNEL * 2 * CHANNELS;
    for (int j = 0; j < KERNEL; j++, tap += 2 * CHANNELS) {
      int shift = j - s->padding;
      int first = larger(now->begin - shift, 0), last = smaller(now->end - shift, n->across);
      vector slope = get(tap), slope2 = get(tap + LANES);
      vector base = get(tap + CHANNELS), base2 = get(tap + CHANNELS + LANES);
      for (int x = first; x < last; x++) {
        vector one = get(g + (size_t)x * CHANNELS), two = get(g + (size_t)x * CHANNELS + LANES);
        slope += one * v[x + shift], slope2 += two * v[x + shift], base += one, base2 += two;
      }
      put(tap, slope), put(tap + LANES, slope2), put(tap + CHANNELS, base), put(tap + CHANNELS + LANES, base2);
    }
  }
}

static void to_bfloat16(uint16_t *to, const float *from, size_t many) { /* the nearest, of two the even one */
  for (size_t i = 0; i < many; i += LANES) {
    words bits = (words)get(from + i);
    bits = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    *(halves *)(to + i) = __builtin_convertvector(bits, halves);
  }
}

static void from_bfloat16(float *to, const uint16_t *from, size_t many) {
  for (size_t i = 0; i < many; i += LANES)
    put(to + i, (vector)(__builtin_convertvector(*(const halves *)(from + i), words) << 16));
}

/* numbers outside, in either type, to and from float32 */
static void store(const shape *s, void *to, size_t at, const float *from, size_t many) {
  if (s->bfloat16) to_bfloat16((uint16_t *)to + at, from, many);
  else memcpy((float *)to + at, from, many * sizeof *from);
}

static void load(const shape *s, float *to, const void *from, size_t at, size_t many) {
  if (s->bfloat16) from_bfloat16(to, (const uint16_t *)from + at, many);
  else memcpy(to, (const float *)from + at, many * sizeof *to);
}

/* Of each 2x2 square of two rows the largest number, or where `sign` is -1 the smallest; and which of the four it is,
   the first of equal ones. */
static void pool(const sizes *n, const float *upper, const float *lower, const float *sign, float *best, uint8_t *which) {
  for (int x = 0; x < n->across / 2; x++)
    for (int c = 0; c < CHANNELS; c += LANES) {
      size_t at = (size_t)2 * x * CHANNELS + c;
      vector turn = get(sign + c);
      vector of[4] = {get(upper + at), get(upper + at + CHANNELS), get(lower + at), get(lower + at + CHANNELS)};
      vector most = of[0] * turn;
      words place = {0};
      for (uint32_t i = 1; i < 4; i++) {
        vector next = of[i] * turn;
        words more = (words)(next > most);
        most = (vector)(((words)next & more) | ((words)most & ~more));
        place = (i & more) | (place & ~more);
      }
      put(best + (size_t)x * CHANNELS + c, most * turn);
      *(bytes *)(which + (size_t)x * CHANNELS + c) = __builtin_convertvector(place, bytes);
    }
}

/* Add a row's sums, and those of its squares, to `total` [2][CHANNELS]: a row's in float32, all rows' in double. */
static void add_statistics(double *total, const float *line, size_t many) {
  vector first = {0}, second = {0}, squares = {0}, squares2 = {0};
  for (size_t i = 0; i < many; i += CHANNELS) {
    vector a = get(line + i), b = get(line + i + LANES);
    first += a, second += b, squares += a * a, squares2 += b * b;
  }
  for (int i = 0; i < LANES; i++) {
    total[i] += first[i], total[LANES + i] += second[i];
    total[CHANNELS + i] += squares[i], total[CHANNELS + LANES + i] += squares2[i];
  }
}

/* From images and a table [piece][KERNEL][KERNEL][slope, intercept][CHANNELS]:
   maps   (images, H', W', CHANNELS), the convolution's output,
   best   (images, H'/2, W'/2, CHANNELS), of each 2x2 square of it the largest or, where `sign` is -1, the smallest,
   which  of the same shape, which of the four that is,
   sums   [thread][2][CHANNELS], of the maps and of their squares.
   Not 0: memory is short. */
int fer_repro_forward(const shape *s, const float *images, const float *kinks, const float *table, const float *sign,
                      void *maps, void *best, uint8_t *which, double *sums) {
  const sizes n = sizes_of(s);
  int failed = 0;
#pragma omp parallel num_threads(s->threads) reduction(| : failed)
  {
    double *total = sums + (size_t)omp_get_thread_num() * 2 * CHANNELS;
    float *line[2] = {malloc(n.line * sizeof(float)), malloc(n.line * sizeof(float))}, *short_line;
    short_line = malloc((n.line / 2 + CHANNELS) * sizeof *short_line);
    rows r;
    int made = make_rows(&r, &n) && line[0] && line[1] && short_line;
    failed = !made;
#pragma omp for schedule(static)
    for (int b = 0; b < s->images; b++) {
      if (!made) continue;
      read_rows(&r, s, &n, images + (size_t)b * s->height * s->width, kinks);
      for (int y = 0; y < n.down; y++) {
        float *sum = line[y % 2];
        memset(sum, 0, n.line * sizeof *sum);
        for (int k = larger(0, s->padding - y); k < smaller(KERNEL, n.H + s->padding - y); k++)
          for (int side = 0; side < 2; side++) add_row(sum, s, &n, &r, side * n.H + y + k - s->padding, k, table);
        store(s, maps, b * n.map + y * n.line, sum, n.line);
        load(s, sum, maps, b * n.map + y * n.line, n.line); /* rounded, if they are */
        add_statistics(total, sum, n.line);
        if (y % 2) {
          size_t many = (size_t)(n.across / 2) * CHANNELS, at = b * n.pooled + y / 2 * many;
          pool(&n, line[0], line[1], sign, short_line, which + at);
          store(s, best, at, short_line, many);
        }
      }
    }
    free_rows(&r), free(line[0]), free(line[1]), free(short_line);
  }
  return failed;
}

/* The gradient by the table, of each thread's images added to its own of `tables`, from
   gradient  by `best`, (images, H'/2, W'/2, CHANNELS),
   base, tilt  [CHANNELS]: what batch norm's statistics hand on, base + tilt * maps at every place. */
int fer_repro_backward(const shape *s, const float *images, const float *kinks, const void *maps, const uint8_t *which,
                       const void *gradient, const float *base, const float *tilt, float *tables) {
  const sizes n = sizes_of(s);
  int failed = 0;
#pragma omp parallel num_threads(s->threads) reduction(| : failed)
  {
    float *total = tables + omp_get_thread_num() * n.table;
    float *whole = malloc(n.map * sizeof *whole), *part = malloc((n.pooled + CHANNELS) * sizeof *part);
    float *own = malloc(n.table * sizeof *own);
    rows r;
    int made = make_rows(&r, &n) && whole && part && own;
    failed = !made;
#pragma omp for schedule(static)
    for (int b = 0; b < s->images; b++) {
      if (!made) continue;
      load(s, whole, maps, b * n.map, n.map);
      load(s, part, gradient, b * n.pooled, n.pooled);
      for (size_t i = 0; i < n.map; i += CHANNELS)
        for (int c = 0; c < CHANNELS; c += LANES) put(whole + i + c, get(base + c) + get(tilt + c) * get(whole + i + c));
      for (int y = 0; y < n.down / 2; y++)
        for (int x = 0; x < n.across / 2; x++)
          for (int c = 0; c < CHANNELS; c += LANES) {
            size_t at = ((size_t)y * (n.across / 2) + x) * CHANNELS + c;
            float *to = whole + 2 * y * n.line + (size_t)2 * x * CHANNELS + c;
            words g = (words)get(part + at), place = __builtin_convertvector(*(const bytes *)(which + b * n.pooled + at), words);
            for (uint32_t i = 0; i < 4; i++) {
              float *here = to + i / 2 * n.line + i % 2 * CHANNELS;
              put(here, get(here) + (vector)(g & (words)(place == i)));
            }
          }
      read_rows(&r, s, &n, images + (size_t)b * s->height * s->width, kinks);
      memset(own, 0, n.table * sizeof *own); /* an image's sums first: of many terms none gets lost */
      for (int y = 0; y < n.H; y++)
        for (int side = 0; side < 2; side++)
          for (int k = larger(0, y + s->padding - n.down + 1); k < smaller(KERNEL, y + s->padding + 1); k++)
            add_gradient(own, s, &n, &r, side * n.H + y, k, whole + (y - k + s->padding) * n.line);
      for (size_t i = 0; i < n.table; i += LANES) put(total + i, get(total + i) + get(own + i));
    }
    free_rows(&r), free(whole), free(part), free(own);
  }
  return failed;
}
