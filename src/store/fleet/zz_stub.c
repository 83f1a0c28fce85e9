#include "store/fleet/fleet.h"
int fleet_join(struct store *s, const char *name, struct error *e){(void)s;(void)name;(void)e; return 0;}
int64_t fleet_process(struct store *s){(void)s; return 1;}
bool fleet_holds(struct store *s){(void)s; return true;}
int fleet_list(struct store *s, struct arena *a, struct fleet_member **o, uint32_t *n, struct error *e){(void)s;(void)a;(void)o;(void)e;*n=0;return 0;}
